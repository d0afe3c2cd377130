import { expect } from 'chai';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { Outcome } from '../../broker/port.ts';
import { dead } from '../../cli/dead.ts';
import type { DeadArguments, DeadIo } from '../../cli/dead-run.ts';
import { bodyText, countsText } from '../../cli/dead-text.ts';
import { explainDead } from '../../cli/explain-dead.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

const yaml = `apps:
  - { id: app-id, key: app-key, secret: app-secret }
events:
  - on: order.*
    to: 'orders.{data.region}'
    as: order.changed
`;

const hour = 3_600_000;
let clock: ManualClock;
let broker: MemoryBroker;

const given: DeadArguments = {
  command: 'list',
  queue: 'events',
  filter: {},
  limit: 1_000,
  all: false,
  yes: false,
  dryRun: false,
  json: false,
  config: 'warren.yaml',
  environment: {},
};

interface Given extends Partial<DeadArguments> {
  readonly answer?: boolean;
  readonly interrupted?: AbortSignal;
}

async function run({ answer, interrupted, ...args }: Given, command = dead) {
  const out = { stdout: '', stderr: '', questions: [] as string[] };
  const io: DeadIo = {
    stdout: (text) => {
      out.stdout += text;
    },
    stderr: (text) => {
      out.stderr += text;
    },
    readFile: (path) => {
      if (path === 'warren.yaml') return yaml;
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
    connect: async () => broker.operate(),
    now: () => clock.now(),
    progress: () => undefined,
    async ask(question) {
      out.questions.push(question);
      return answer;
    },
    interrupted: interrupted ?? new AbortController().signal,
  };
  const code = await command({ ...given, ...args }, io);
  return { code, ...out };
}

/** Ids in queue order. */
async function ids(): Promise<string[]> {
  const { stdout } = await run({ command: 'list', json: true });
  return (JSON.parse(stdout) as { letters: { id: string }[] }).letters.map(({ id }) => id);
}

function bodies(): string[] {
  return broker.deadLetters().map(({ event }) => event.body.toString('utf8'));
}

function refusal(code: 'missing_field' | 'invalid_json'): Outcome {
  return { kind: 'dead-letter', refusal: { code, text: 'events[0].to: it is not in the event' } };
}

async function refuse(routingKey: string, body: string, code: 'missing_field' | 'invalid_json') {
  const before = broker.deadLetters().length;
  const consumption = await broker.domainEvents.consume({
    patterns: ['#'],
    prefetch: 1,
    handle: async () => refusal(code),
  });
  await broker.domainEvents.publish({
    routingKey,
    body: Buffer.from(body),
    messageId: `m-${body}`,
  });
  await eventually(() => expect(broker.deadLetters().length).to.equal(before + 1));
  await consumption.stop(0);
}

describe('dead', () => {
  beforeEach(async () => {
    clock = createManualClock();
    broker = createMemoryBroker({ clock });
    await refuse('order.paid', '{"region":"eu"}', 'missing_field');
    clock.advance(3 * hour);
    await refuse('order.paid', '{"area":"eu"}', 'missing_field');
    await refuse('chat.message.posted', 'no \u001b[31mJSON', 'invalid_json');
    clock.advance(90_000);
  });
  afterEach(() => broker.close());

  describe('list', () => {
    it('prints letters newest last, with age, reason, key and size, and counts reasons', async () => {
      const { code, stdout } = await run({ command: 'list' });
      expect(code).to.equal(0);
      const lines = stdout.trimEnd().split('\n');
      expect(lines[0]).to.match(/^id {11}age {2}reason +routing key +size$/);
      expect(lines[1]).to.match(/^\w{10} +3 h {2}missing_field {2}order\.paid +15 B$/);
      expect(lines[3]).to.match(/^\w{10} +90 s {2}invalid_json +chat\.message\.posted +12 B$/);
      expect(lines.at(-1)).to.equal('3 letters: 2 missing_field, 1 invalid_json');
    });

    it('takes filters together', async () => {
      const count = async (filter: DeadArguments['filter']) => {
        const { stdout } = await run({ command: 'list', json: true, filter });
        return (JSON.parse(stdout) as { letters: unknown[] }).letters.length;
      };
      expect(await count({ reason: ['missing_field'] })).to.equal(2);
      expect(await count({ reason: ['missing_field', 'invalid_json'] })).to.equal(3);
      expect(await count({ key: 'order.#' })).to.equal(2);
      expect(await count({ since: '1h' })).to.equal(2);
      expect(await count({ olderThan: '1h' })).to.equal(1);
      expect(await count({ key: 'order.*', since: '1h' })).to.equal(1);
      expect(await count({ id: [(await ids())[2]?.toUpperCase() ?? ''] })).to.equal(1);
    });

    it('says how many it did not look at', async () => {
      const { stdout, stderr } = await run({ command: 'list', limit: 2 });
      expect(stdout).to.match(/2 letters: 2 missing_field\n$/);
      expect(stderr).to.equal('1 letter behind the first 2 was not looked at: see --limit\n');
    });

    it('says what is wrong with a filter, and that a queue is empty', async () => {
      for (const [filter, text] of [
        [{ since: 'yesterday' }, /--since yesterday: write it as 90s/],
        [{ olderThan: '5' }, /--older-than 5: write it as/],
        [{ key: 'a*' }, /--key is not a topic pattern/],
      ] as const) {
        const { code, stderr } = await run({ command: 'list', filter });
        expect(code).to.equal(2);
        expect(stderr).to.match(text);
      }
      const { code, stdout } = await run({ command: 'list', queue: 'webhooks' });
      expect([code, stdout]).to.deep.equal([0, '0 letters\n']);
    });
  });

  describe('show', () => {
    it('prints reason, properties, the body without control characters, and what would become of it', async () => {
      const [first, , third] = await ids();
      const routed = await run({ command: 'show', filter: { id: [first ?? ''] } });
      expect(routed.code).to.equal(0);
      expect(routed.stdout).to.include('reason        missing_field: events[0].to: it is not');
      expect(routed.stdout).to.match(/refused {7}\d{4}-.*Z {2}\(3 h ago\)/);
      expect(routed.stdout).to.include('message id    m-{"region":"eu"}');
      expect(routed.stdout).to.include('body, 15 B\n  {"region":"eu"}\n');
      expect(routed.stdout).to.include('Replayed now, by warren.yaml:');
      expect(routed.stdout).to.include('→ orders.eu');
      const hostile = await run({ command: 'show', filter: { id: [third ?? ''] } });
      expect(hostile.stdout).to.include('no \\u{1b}[31mJSON');
      expect(hostile.stdout).to.not.include('\u001b');
    });

    it('prints the letter where warren.yaml is not there, and says so', async () => {
      const [id = ''] = await ids();
      const { code, stdout, stderr } = await run({
        command: 'show',
        filter: { id: [id] },
        config: 'other.yaml',
      });
      expect(code).to.equal(0);
      expect(stdout).to.include('{"region":"eu"}');
      expect(stderr).to.include('what would become of it now is not told');
    });

    it('gives JSON with the explanation in it', async () => {
      const [id = ''] = await ids();
      const { stdout } = await run({ command: 'show', filter: { id: [id] }, json: true });
      const shown = JSON.parse(stdout) as Record<string, unknown>;
      expect(shown).to.include({
        id,
        code: 'missing_field',
        key: 'order.paid',
        body: '{"region":"eu"}',
      });
      expect(shown['explanation']).to.deep.include({ outcome: 'routed' });
    });

    it('knows no letter of another id', async () => {
      const { code, stderr } = await run({ command: 'show', filter: { id: ['0000000000'] } });
      expect(code).to.equal(3);
      expect(stderr).to.include('there is no letter 0000000000');
    });
  });

  describe('replay', () => {
    it('wants to be told which, and refuses reports to webhooks', async () => {
      for (const args of [
        { filter: {} },
        { filter: { key: '#' }, all: true },
        { filter: { key: '#' }, queue: 'webhooks' as const },
      ]) {
        expect((await run({ command: 'replay', ...args })).code).to.equal(2);
      }
      expect(bodies()).to.have.length(3);
    });

    it('puts back what matches and leaves the rest in place', async () => {
      const { code, stdout } = await run({
        command: 'replay',
        filter: { reason: ['missing_field'] },
      });
      expect([code, stdout]).to.deep.equal([0, 'replayed 2 letters, 1 left\n']);
      expect(bodies()).to.deep.equal(['no \u001b[31mJSON']);
      const keys: string[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: ['#'],
        prefetch: 1,
        async handle({ routingKey }) {
          keys.push(routingKey);
          return { kind: 'done' };
        },
      });
      await eventually(() => expect(keys).to.deep.equal(['order.paid', 'order.paid']));
      await consumption.stop(0);
    });

    it('says in a dry run what would be routed, and moves nothing', async () => {
      const { code, stdout } = await run({ command: 'replay', all: true, dryRun: true });
      expect(code).to.equal(0);
      expect(stdout).to.match(/^\w{10} {2}order\.paid → orders\.eu$/m);
      expect(stdout).to.match(/order\.paid: refused again, missing_field/);
      expect(stdout).to.match(/chat\.message\.posted: refused again, invalid_json/);
      expect(stdout).to.include('3 letters, nothing was moved: 1 would be routed, 0 no rule takes');
      expect(bodies()).to.have.length(3);
    });

    it('names the ids that it did not find', async () => {
      const [id = ''] = await ids();
      const { code, stderr } = await run({ command: 'replay', filter: { id: [id, 'nonesuch00'] } });
      expect(code).to.equal(3);
      expect(stderr).to.include('there is no letter nonesuch00');
      expect(bodies()).to.have.length(2);
    });

    it('leaves letters where they are when it is interrupted', async () => {
      const over = new AbortController();
      over.abort();
      const { code } = await run({ command: 'replay', all: true, interrupted: over.signal });
      expect(code).to.equal(130);
      expect(bodies()).to.have.length(3);
    });

    it('says that the broker is away, and what to do', async () => {
      broker.setReachable(false);
      const { code, stderr } = await run({ command: 'replay', all: true });
      expect(code).to.equal(1);
      expect(stderr).to.include('is RabbitMQ running, and does WARREN_BROKER_URL name it?');
    });
  });

  describe('drop', () => {
    it('asks, and drops on yes alone', async () => {
      const no = await run({ command: 'drop', filter: { key: 'order.#' }, answer: false });
      expect(no.questions).to.deep.equal(['2 letters: 2 missing_field. Drop for good? [y/N] ']);
      expect([no.code, bodies().length]).to.deep.equal([0, 3]);
      const nobody = await run({ command: 'drop', all: true });
      expect([nobody.code, bodies().length]).to.deep.equal([2, 3]);
      expect(nobody.stderr).to.include('add --yes');
      const yes = await run({ command: 'drop', filter: { key: 'order.#' }, answer: true });
      expect([yes.code, yes.stdout]).to.deep.equal([0, 'dropped 2 letters, 1 left\n']);
      const told = await run({ command: 'drop', all: true, yes: true });
      expect([told.questions, told.stdout]).to.deep.equal([[], 'dropped 1 letter, 0 left\n']);
    });
  });

  describe('explain --dead', () => {
    it('explains a letter, with the exit codes of explain', async () => {
      const [first = '', second = ''] = await ids();
      const routed = await run({ command: 'show', filter: { id: [first] } }, explainDead);
      expect(routed.code).to.equal(0);
      expect(routed.stdout).to.include('→ orders.eu');
      const refused = await run({ command: 'show', filter: { id: [second] } }, explainDead);
      expect(refused.code).to.equal(4);
      const missing = await run({ command: 'show', filter: { id: ['nonesuch00'] } }, explainDead);
      expect(missing.code).to.equal(1);
    });
  });

  it('does not look for the embedded broker of another process', async () => {
    const environment = { WARREN_BROKER_URL: 'memory:' };
    const { code, stderr } = await run({ command: 'list', environment });
    expect(code).to.equal(1);
    expect(stderr).to.include('name a RabbitMQ in WARREN_BROKER_URL');
  });
});

describe('bodyText', () => {
  it('cuts long bodies, between characters, and shows other bytes as hexadecimal', () => {
    const long = bodyText(Buffer.from('é'.repeat(3_000)));
    expect(long).to.match(/é\n {2}… \(2000 bytes more\)$/);
    expect(bodyText(Buffer.from(`x${'é'.repeat(3_000)}`))).to.not.include('\ufffd');
    expect(bodyText(Buffer.from([0xff, 0x00]))).to.equal('  not UTF-8: ff00');
    expect(bodyText(Buffer.alloc(0))).to.equal('  (empty)');
    expect(bodyText(Buffer.from('a\r\nb\u0000'))).to.equal('  a\n  b\\u{0}');
  });
});

describe('countsText', () => {
  it('puts the most frequent reason first', () => {
    const counts = new Map([
      ['a', 1],
      ['c', 2],
      ['b', 2],
    ]);
    expect(countsText(counts)).to.equal('5 letters: 2 b, 2 c, 1 a\n');
  });
});
