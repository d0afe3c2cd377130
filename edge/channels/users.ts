/** Users of this edge: who is signed in, who is a member of a presence channel, and who watches whom. */
import type { AppId } from '../../contracts/ids.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { watchlistEvents } from '../../contracts/pusher/frames.ts';
import type { Directory } from '../cluster/port.ts';
import type { Session } from './session.ts';

/** A user that sockets of this edge watch. */
interface Watched {
  readonly watchers: Set<Session>;
  /** Undefined until the cluster has said it. */
  isOnline: boolean | undefined;
}

/** What a watcher is going to be told at the end of the turn, by user. */
type News = Map<string, boolean>;

export class Users {
  readonly #directory: Directory;
  readonly #sessions = new Map<AppId, Map<string, Set<Session>>>();
  /** How many subscriptions each socket has as a member, by app and user. */
  readonly #members = new Map<AppId, Map<string, Map<Session, number>>>();
  readonly #watched = new Map<AppId, Map<string, Watched>>();
  readonly #news = new Map<Session, News>();
  #count = 0;

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** Sockets that are signed in. */
  get size(): number {
    return this.#count;
  }

  /** The socket has been told of its success. */
  signedIn(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const app = session.app.config.id;
    const users = entry(this.#sessions, app, newMap<Set<Session>>);
    const sessions = entry(users, user.userId, newSet);
    sessions.add(session);
    this.#count += 1;
    this.#directory.report({ kind: 'user', app, user: user.userId }, sessions.size);
    for (const watched of user.watchlist) this.#watch(app, watched, session);
  }

  /** The socket has ended. */
  left(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const app = session.app.config.id;
    const users = this.#sessions.get(app);
    const sessions = users?.get(user.userId);
    if (sessions?.delete(session) !== true) return;
    this.#count -= 1;
    if (sessions.size === 0) users?.delete(user.userId);
    if (users?.size === 0) this.#sessions.delete(app);
    this.#directory.report({ kind: 'user', app, user: user.userId }, sessions.size);
    for (const watched of user.watchlist) this.#unwatch(app, watched, session);
    this.#news.delete(session);
  }

  /** The socket has subscribed, or is about to, as a member of a presence channel. */
  joinedAs(session: Session, user: string): void {
    const users = entry(this.#members, session.app.config.id, newMap<Map<Session, number>>);
    const sessions = entry(users, user, newMembers);
    sessions.set(session, (sessions.get(session) ?? 0) + 1);
  }

  /** Undoes one `joinedAs`. */
  leftAs(session: Session, user: string): void {
    const app = session.app.config.id;
    const users = this.#members.get(app);
    const sessions = users?.get(user);
    const count = sessions?.get(session);
    if (users === undefined || sessions === undefined || count === undefined) return;
    if (count > 1) sessions.set(session, count - 1);
    else sessions.delete(session);
    if (sessions.size === 0) users.delete(user);
    if (users.size === 0) this.#members.delete(app);
  }

  /** Closes the sockets on this edge that are signed in as the user; says how many. */
  terminate(app: AppId, user: string): number {
    const sessions = [...(this.#sessions.get(app)?.get(user) ?? [])];
    for (const { connection } of sessions) connection.close(closeCodes.unauthorized);
    return sessions.length;
  }

  /** As `terminate`, and those that are members of presence channels as the user. */
  disconnect(app: AppId, user: string): void {
    this.terminate(app, user);
    const members = [...(this.#members.get(app)?.get(user)?.keys() ?? [])];
    for (const { connection } of members) connection.close(closeCodes.unauthorized);
  }

  /** The cluster says how many sockets a watched user has. */
  total(app: AppId, user: string, total: number): void {
    const watched = this.#watched.get(app)?.get(user);
    const isOnline = total > 0;
    if (watched === undefined || watched.isOnline === isOnline) return;
    watched.isOnline = isOnline;
    for (const session of watched.watchers) this.#tell(session, user, isOnline);
  }

  #watch(app: AppId, user: string, session: Session): void {
    const users = entry(this.#watched, app, newMap<Watched>);
    const watched = entry(users, user, newWatched);
    if (watched.watchers.size === 0) this.#directory.watch({ kind: 'user', app, user });
    watched.watchers.add(session);
    if (watched.isOnline !== undefined) this.#tell(session, user, watched.isOnline);
  }

  #unwatch(app: AppId, user: string, session: Session): void {
    const users = this.#watched.get(app);
    const watched = users?.get(user);
    if (watched?.watchers.delete(session) !== true || watched.watchers.size > 0) return;
    users?.delete(user);
    if (users?.size === 0) this.#watched.delete(app);
    this.#directory.unwatch({ kind: 'user', app, user });
  }

  /** Sums come many at a time, and each socket gets one frame of them. */
  #tell(session: Session, user: string, isOnline: boolean): void {
    if (this.#news.size === 0) setImmediate(this.#flush);
    entry(this.#news, session, newMap<boolean>).set(user, isOnline);
  }

  readonly #flush = (): void => {
    for (const [session, news] of this.#news) {
      const users = [...news];
      const who = (online: boolean) =>
        users.filter(([, isOnline]) => isOnline === online).map(([user]) => user);
      session.connection.send(watchlistEvents(who(true), who(false)));
    }
    this.#news.clear();
  };
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

const newMap = <V>() => new Map<string, V>();
const newMembers = () => new Map<Session, number>();
const newSet = () => new Set<Session>();
const newWatched = (): Watched => ({ watchers: new Set(), isOnline: undefined });
