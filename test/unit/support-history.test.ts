/** The judge of chaos runs, judged: a clean history passes, and each fault that is seeded into it gets exactly its verdict. */
import { strict as assert } from 'node:assert';
import { judge } from '../support/history.ts';
import type {
  Entry,
  Fault,
  History,
  Published,
  Rules,
  Verdict,
} from '../support/history-entries.ts';

const prefetch = 4;
const rules: Rules = {
  prefetch,
  routerWindow: 2,
  routerFaults: ['router-kill'],
  demands: { deliveries: 1, faults: {} },
};

type Kind = 'lost' | 'duplicated' | 'reordered' | 'foreign' | 'misreported' | 'gaps';
const kinds: readonly Kind[] = [
  'lost',
  'duplicated',
  'reordered',
  'foreign',
  'misreported',
  'gaps',
];

/** Ten publications of each of two publishers to each of two channels; a session that reconnects once and sees them all. */
function cleanHistory() {
  let at = 0;
  const tick = () => {
    at += 1;
    return at;
  };
  const publications: Published[] = [];
  const entries: Entry[] = [];
  const faults: Fault[] = [];
  const connect = (resumed: boolean, channels = ['cache-a', 'b']) => {
    entries.push({ kind: 'connected', at: tick() }, { kind: 'session', at: tick(), resumed });
    for (const channel of channels) entries.push({ kind: 'subscribed', at: tick(), channel });
  };
  const publish = (channel: string, publisher: string, n: number): Published => {
    const id = `${channel}/${publisher}/${n}`;
    const viaRouter = publisher === 'domain';
    const one: Published = {
      id,
      channel,
      publisher,
      n,
      sentAt: tick(),
      outcome: 'confirmed',
      viaRouter,
    };
    publications.push(one);
    return one;
  };
  const see = ({ channel, id, publisher, n }: Published) => {
    entries.push({ kind: 'event', at: tick(), channel, id, publisher, n });
  };
  const round = (n: number) => {
    for (const channel of ['cache-a', 'b']) {
      for (const publisher of ['domain', 'http']) see(publish(channel, publisher, n));
    }
  };
  connect(false);
  for (let n = 0; n < 5; n += 1) round(n);
  const parkedAt = entries.length;
  faults.push({ kind: 'edge-kill', at: tick(), detail: 'edge 1' });
  connect(true);
  const resumedAt = entries.length;
  for (let n = 5; n < 10; n += 1) round(n);
  const channels = new Set(['cache-a', 'b', 'private-never']);
  const history: History = {
    publications,
    faults,
    sessions: [{ name: 'page 1', channels, entries }],
  };
  return {
    history,
    entries,
    publications,
    faults,
    parkedAt,
    resumedAt,
    connect,
    publish,
    see,
    tick,
  };
}

type Clean = ReturnType<typeof cleanHistory>;

/** What the verdict counts, without the zeros. */
function tally(verdict: Verdict): Record<string, number> {
  const counts = kinds.map((kind) => [kind, verdict[kind].length] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Judges the clean history with one fault in it. */
function seeded(fault: (clean: Clean) => void, more: Partial<Rules> = {}): Verdict {
  const clean = cleanHistory();
  fault(clean);
  return judge(clean.history, { ...rules, ...more });
}

const isEvent = (id: string) => (entry: Entry) => entry.kind === 'event' && entry.id === id;

function drop({ entries }: Clean, id: string): Entry {
  const at = entries.findIndex(isEvent(id));
  const [entry] = entries.splice(at, 1);
  assert.ok(at >= 0 && entry !== undefined, `${id} is in the history`);
  return entry;
}

/** Puts the sightings of these publications, once more, at a place. */
function repeat({ entries, publications, tick }: Clean, at: number, ids: readonly string[]): void {
  const again = ids.map((id): Entry => {
    const one = publications.find((publication) => publication.id === id);
    assert.ok(one !== undefined);
    const { channel, publisher, n } = one;
    return { kind: 'event', at: tick(), channel, id, publisher, n };
  });
  entries.splice(at, 0, ...again);
}

describe('the judge of chaos runs', () => {
  it('finds nothing in a clean history, and counts it', () => {
    const verdict = seeded(() => undefined);
    assert.deepEqual(tally(verdict), {});
    assert.deepEqual(verdict.invalid, []);
    assert.deepEqual(verdict.counts, {
      deliveries: 40,
      repeats: 0,
      routerRepeats: 0,
      connections: 2,
      resumes: 1,
      confirmed: 40,
      unknown: 0,
      faults: { 'edge-kill': 1 },
    });
  });

  describe('lost', () => {
    for (const id of ['b/domain/2', 'b/http/5', 'cache-a/domain/9']) {
      it(`a confirmed publication that never came (${id})`, () => {
        const verdict = seeded((clean) => drop(clean, id));
        assert.deepEqual(tally(verdict), { lost: 1 });
        assert.equal(verdict.lost[0]?.id, id);
      });
    }

    it('not one of which nobody knows whether it was published', () => {
      const verdict = seeded((clean) => {
        drop(clean, 'b/http/3');
        const one = clean.publications.find(({ id }) => id === 'b/http/3');
        if (one !== undefined) one.outcome = 'unknown';
      });
      assert.deepEqual(tally(verdict), {});
    });

    it('not one from before the subscription', () => {
      const verdict = seeded((clean) => {
        clean.publications.unshift({
          id: 'early',
          channel: 'b',
          publisher: 'http',
          n: -1,
          sentAt: 0,
          outcome: 'confirmed',
          viaRouter: false,
        });
      });
      assert.deepEqual(tally(verdict), {});
    });

    it('not what came after the client had left the channel, but what came before something it saw there', () => {
      const leave = (clean: Clean) => {
        clean.entries.push({ kind: 'unsubscribed', at: clean.tick(), channel: 'b' });
        clean.publish('b', 'http', 10);
      };
      assert.deepEqual(tally(seeded(leave)), {});
      const both = seeded((clean) => {
        leave(clean);
        drop(clean, 'b/http/7');
      });
      assert.deepEqual(tally(both), { lost: 1 });
    });

    it('while parked, where the session claims that it was resumed', () => {
      const verdict = seeded(({ publish, connect, see }) => {
        publish('b', 'http', 10);
        connect(true);
        see(publish('b', 'http', 11));
      });
      assert.deepEqual(tally(verdict), { lost: 1 });
    });
  });

  describe('gap-declared', () => {
    it('a new session where an old one was expected excuses what was before it, not what came after', () => {
      const missing = (after: boolean) => (clean: Clean) => {
        clean.publish('b', 'http', 10);
        clean.connect(false);
        const next = clean.publish('b', 'http', 11);
        if (!after) clean.see(next);
      };
      assert.deepEqual(tally(seeded(missing(false))), { gaps: 1 });
      assert.deepEqual(tally(seeded(missing(true))), { gaps: 1, lost: 1 });
    });

    it('continuity_lost excuses its channel only, and only what was before it', () => {
      const lose = (channel: string) => (clean: Clean) => {
        drop(clean, 'b/http/6');
        clean.entries.push({ kind: 'lost', at: clean.tick(), channel, reason: 'overflow' });
      };
      assert.deepEqual(tally(seeded(lose('b'))), { gaps: 1 });
      assert.deepEqual(tally(seeded(lose('cache-a'))), { gaps: 1, lost: 1 });
      const afterwards = seeded((clean) => {
        lose('b')(clean);
        clean.publish('b', 'http', 10);
      });
      assert.deepEqual(tally(afterwards), { gaps: 1, lost: 1 });
    });
  });

  describe('duplicated', () => {
    it('a repeat on the same connection', () => {
      const verdict = seeded((clean) => repeat(clean, clean.parkedAt, ['b/http/4']));
      assert.deepEqual(tally(verdict), { duplicated: 1 });
    });

    it('not the last deliveries after a resume, in order, before what is new', () => {
      const last = ['cache-a/domain/4', 'cache-a/http/4', 'b/domain/4', 'b/http/4'];
      const verdict = seeded((clean) => repeat(clean, clean.resumedAt, last));
      assert.deepEqual(tally(verdict), {});
      assert.equal(verdict.counts.repeats, last.length);
      assert.equal(verdict.counts.deliveries, 40);
    });

    it('one that was too long ago to be unacknowledged', () => {
      const verdict = seeded((clean) => repeat(clean, clean.resumedAt, ['b/http/3', 'b/http/4']));
      assert.deepEqual(tally(verdict), { duplicated: 1 });
      assert.equal(verdict.duplicated[0]?.id, 'b/http/3');
    });

    it('one that comes twice after a resume', () => {
      const verdict = seeded((clean) => repeat(clean, clean.resumedAt, ['b/http/4', 'b/http/4']));
      assert.deepEqual(tally(verdict), { duplicated: 1 });
    });

    it('one that comes twice after a resume, though its order is nobody’s promise', () => {
      const verdict = seeded((clean) => {
        const one = clean.publications.find(({ id }) => id === 'b/http/4');
        if (one !== undefined) one.outcome = 'unknown';
        repeat(clean, clean.resumedAt, ['b/http/4', 'b/http/4']);
      });
      assert.deepEqual(tally(verdict), { duplicated: 1 });
    });

    it('one that comes after a later one of its channel', () => {
      const verdict = seeded((clean) => repeat(clean, clean.resumedAt + 4, ['b/http/4']));
      assert.deepEqual(tally(verdict), { duplicated: 1 });
    });

    it('one that comes to a session that is not resumed', () => {
      const verdict = seeded((clean) => {
        clean.connect(false);
        repeat(clean, clean.entries.length, ['b/http/9']);
      });
      assert.deepEqual(tally(verdict), { duplicated: 1, gaps: 1 });
    });

    it('not the cached event of a cache channel where nothing is continued, but where it is', () => {
      const replay = (resumed: boolean) => (clean: Clean) => {
        clean.connect(resumed);
        repeat(clean, clean.entries.length, ['cache-a/domain/8']);
      };
      assert.deepEqual(tally(seeded(replay(false))), { gaps: 1 });
      assert.deepEqual(tally(seeded(replay(true))), { duplicated: 1 });
    });

    it('not what a router repeats after a crash, up to its confirm window', () => {
      const crash = (ids: readonly string[]) => (clean: Clean) => {
        clean.faults.push({ kind: 'router-kill', at: clean.tick(), detail: 'router 0' });
        repeat(clean, clean.entries.length, ids);
      };
      const two = seeded(crash(['b/domain/8', 'b/domain/9']));
      assert.deepEqual(tally(two), {});
      assert.equal(two.counts.routerRepeats, 2);
      assert.deepEqual(tally(seeded(crash(['b/domain/7', 'b/domain/8', 'b/domain/9']))), {
        duplicated: 1,
      });
      assert.deepEqual(tally(seeded(crash(['b/http/9']))), { duplicated: 1 });
    });
  });

  describe('reordered', () => {
    it('two sightings that changed places', () => {
      const verdict = seeded((clean) => {
        const entry = drop(clean, 'b/http/6');
        clean.entries.splice(clean.entries.findIndex(isEvent('b/http/7')) + 1, 0, entry);
      });
      assert.deepEqual(tally(verdict), { reordered: 1 });
      assert.equal(verdict.reordered[0]?.id, 'b/http/6');
    });

    it('not two of different publishers, or of different channels', () => {
      const verdict = seeded((clean) => {
        for (const [id, other] of [
          ['b/http/6', 'b/domain/7'],
          ['b/domain/2', 'cache-a/domain/3'],
        ] as const) {
          const entry = drop(clean, id);
          clean.entries.splice(clean.entries.findIndex(isEvent(other)) + 1, 0, entry);
        }
      });
      assert.deepEqual(tally(verdict), {});
    });

    it('across a resume, and across a declared gap', () => {
      for (const resumed of [true, false]) {
        const verdict = seeded((clean) => {
          const late = clean.publish('b', 'http', 10);
          clean.see(clean.publish('b', 'http', 11));
          clean.connect(resumed);
          clean.see(late);
        });
        assert.deepEqual(tally(verdict), resumed ? { reordered: 1 } : { reordered: 1, gaps: 1 });
      }
    });
  });

  describe('foreign', () => {
    const forge = (change: Partial<Extract<Entry, { kind: 'event' }>>) => (clean: Clean) => {
      const at = clean.entries.findIndex(isEvent('b/http/6'));
      clean.entries[at] = {
        ...(clean.entries[at] as Extract<Entry, { kind: 'event' }>),
        ...change,
      };
    };

    it('an id that nobody published', () => {
      assert.deepEqual(tally(seeded(forge({ id: 'forged' }))), { foreign: 1, lost: 1 });
    });

    it('one that was published to another channel', () => {
      assert.deepEqual(tally(seeded(forge({ channel: 'cache-a' }))), { foreign: 1, lost: 1 });
    });

    it('one whose content is not what was published', () => {
      assert.deepEqual(tally(seeded(forge({ n: 60 }))), { foreign: 1, lost: 1 });
      assert.deepEqual(tally(seeded(forge({ publisher: 'domain' }))), { foreign: 1, lost: 1 });
    });

    it('one of a channel that the session may not see', () => {
      const verdict = seeded((clean) => {
        const channel = 'private-other';
        clean.entries.push({ kind: 'subscribed', at: clean.tick(), channel });
        clean.see(clean.publish(channel, 'http', 0));
      });
      assert.deepEqual(tally(verdict), { foreign: 1, lost: 1 });
    });

    it('one that comes before its subscription succeeded on this connection', () => {
      const verdict = seeded((clean) => {
        clean.connect(true, ['cache-a']);
        clean.see(clean.publish('b', 'http', 10));
      });
      assert.deepEqual(tally(verdict), { foreign: 1, lost: 1 });
    });

    it('not one that is still on its way when the client leaves the channel', () => {
      const verdict = seeded((clean) => {
        const late = clean.publish('b', 'http', 10);
        clean.entries.push({ kind: 'unsubscribed', at: clean.tick(), channel: 'b' });
        clean.see(late);
      });
      assert.deepEqual(tally(verdict), {});
    });
  });

  describe('misreported', () => {
    it('a subscription before the session was reported', () => {
      const verdict = seeded(({ entries }) => {
        entries.splice(
          entries.findLastIndex(({ kind }) => kind === 'session'),
          1,
        );
      });
      assert.equal(verdict.misreported.length, 2);
    });

    it('a first connection that claims to be a resumed one', () => {
      const verdict = seeded(({ entries, tick }) => {
        entries[1] = { kind: 'session', at: tick(), resumed: true };
      });
      assert.deepEqual(tally(verdict), { misreported: 1 });
    });
  });

  describe('an invalid run', () => {
    it('had fewer deliveries or faults than demanded', () => {
      const demands = { deliveries: 41, faults: { 'edge-kill': 2, deploy: 1 } };
      assert.deepEqual(seeded(() => undefined, { demands }).invalid, [
        '40 deliveries, 41 demanded',
        '1 faults of kind edge-kill, 2 demanded',
        '0 faults of kind deploy, 1 demanded',
      ]);
    });

    it('had no session, or one that saw nothing it had to see', () => {
      const { publications, faults } = cleanHistory();
      const silent = { name: 'page 2', channels: new Set<string>(), entries: [] };
      const demands = { deliveries: 0, faults: {} };
      const judged = (sessions: History['sessions']) =>
        judge({ publications, faults, sessions }, { ...rules, demands }).invalid;
      assert.deepEqual(judged([]), ['no sessions']);
      assert.deepEqual(judged([silent]), ['page 2 saw nothing that it had to see']);
    });
  });
});
