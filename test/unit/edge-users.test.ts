import { expect } from 'chai';
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import { directoryKeyText } from '../../contracts/directory-key.ts';
import { type AppId, parseAppId } from '../../contracts/ids.ts';
import type { Session } from '../../edge/channels/session.ts';
import { Users } from '../../edge/channels/users.ts';
import type { Directory } from '../../edge/cluster/port.ts';

const app = parseAppId('app') as AppId;

/** Remembers what this edge has told the cluster. */
class Ledger implements Directory {
  readonly counts = new Map<string, number>();
  readonly watches = new Map<string, number>();

  report(key: DirectoryKey, count: number): void {
    this.counts.set(directoryKeyText(key), count);
  }

  watch(key: DirectoryKey): void {
    this.#add(key, 1);
  }

  unwatch(key: DirectoryKey): void {
    this.#add(key, -1);
  }

  #add(key: DirectoryKey, amount: number): void {
    const text = directoryKeyText(key);
    this.watches.set(text, (this.watches.get(text) ?? 0) + amount);
  }
}

interface Watching {
  readonly session: Session;
  readonly sent: string[];
  readonly closes: number[];
}

function socketOf(userId: string, watchlist: readonly string[] = []): Watching {
  const sent: string[] = [];
  const closes: number[] = [];
  const session = {
    app: { config: { id: app } },
    user: { userId, info: null, watchlist, watchlistOverflow: 0 },
    connection: {
      send: (text: string) => sent.push(text),
      close: ({ code }: { code: number }) => closes.push(code),
    },
  };
  return { session: session as unknown as Session, sent, closes };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const userKey = (user: string) => directoryKeyText({ kind: 'user', app, user });

describe('Users', () => {
  let ledger: Ledger;
  let users: Users;
  beforeEach(() => {
    ledger = new Ledger();
    users = new Users(ledger);
  });

  it('reports how many sockets a user has here, and forgets one that is gone', () => {
    const [one, two] = [socketOf('u'), socketOf('u')] as const;
    users.signedIn(one.session);
    users.signedIn(two.session);
    expect(ledger.counts.get(userKey('u'))).to.equal(2);
    expect(users.size).to.equal(2);
    users.left(one.session);
    users.left(one.session);
    expect(ledger.counts.get(userKey('u'))).to.equal(1);
    users.left(two.session);
    expect(ledger.counts.get(userKey('u'))).to.equal(0);
    expect(users.size).to.equal(0);
  });

  it('watches a user once for all its watchers, and until the last of them is gone', () => {
    const [one, two] = [socketOf('a', ['x']), socketOf('b', ['x'])] as const;
    users.signedIn(one.session);
    users.signedIn(two.session);
    expect(ledger.watches.get(userKey('x'))).to.equal(1);
    users.left(one.session);
    expect(ledger.watches.get(userKey('x'))).to.equal(1);
    users.left(two.session);
    expect(ledger.watches.get(userKey('x'))).to.equal(0);
  });

  it('gathers what comes in one turn into one frame, and says each change once', async () => {
    const watcher = socketOf('a', ['x', 'y', 'z']);
    users.signedIn(watcher.session);
    users.total(app, 'x', 2);
    users.total(app, 'y', 0);
    await turn();
    users.total(app, 'x', 3);
    await turn();
    users.total(app, 'x', 0);
    users.total(app, 'stranger', 1);
    await turn();
    expect(watcher.sent.map((text) => JSON.parse(JSON.parse(text).data).events)).to.deep.equal([
      [
        { name: 'online', user_ids: ['x'] },
        { name: 'offline', user_ids: ['y'] },
      ],
      [{ name: 'offline', user_ids: ['x'] }],
    ]);
  });

  it('tells a later watcher what is known already', async () => {
    users.signedIn(socketOf('a', ['x']).session);
    users.total(app, 'x', 1);
    await turn();
    const late = socketOf('b', ['x', 'unknown']);
    users.signedIn(late.session);
    await turn();
    expect(late.sent).to.have.length(1);
    expect(late.sent[0]).to.include('online');
  });

  it('tells nothing to a watcher that has left within the turn', async () => {
    const watcher = socketOf('a', ['x']);
    users.signedIn(watcher.session);
    users.total(app, 'x', 1);
    users.left(watcher.session);
    await turn();
    expect(watcher.sent).to.deep.equal([]);
  });

  it('closes the sockets of one user of one app, with 4009', () => {
    const [mine, other] = [socketOf('u'), socketOf('v')] as const;
    users.signedIn(mine.session);
    users.signedIn(other.session);
    expect(users.terminate('elsewhere' as AppId, 'u')).to.equal(0);
    expect(users.terminate(app, 'u')).to.equal(1);
    expect([mine.closes, other.closes]).to.deep.equal([[4009], []]);
  });

  it('disconnects also who is known as a member of a presence channel, for as long as one of them counts', () => {
    const [signedIn, member, twice, gone] = [1, 2, 3, 4].map(() => socketOf('u'));
    if (!signedIn || !member || !twice || !gone) throw new Error('bad fixture');
    users.signedIn(signedIn.session);
    users.joinedAs(member.session, 'u');
    users.joinedAs(twice.session, 'u');
    users.joinedAs(twice.session, 'u');
    users.leftAs(twice.session, 'u');
    users.joinedAs(gone.session, 'u');
    users.leftAs(gone.session, 'u');
    users.leftAs(gone.session, 'u');
    expect(users.terminate(app, 'u')).to.equal(1);
    users.left(signedIn.session);
    users.disconnect('elsewhere' as AppId, 'u');
    users.disconnect(app, 'v');
    expect(member.closes).to.deep.equal([]);
    users.disconnect(app, 'u');
    const closes = [signedIn, member, twice, gone].map((one) => one.closes);
    expect(closes).to.deep.equal([[4009], [4009], [4009], []]);
  });
});
