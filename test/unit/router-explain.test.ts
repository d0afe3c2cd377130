import { join } from 'node:path';
import { expect } from 'chai';
import type { CommandIo } from '../../cli/check.ts';
import { explain } from '../../cli/explain.ts';

const yaml = `apps:
  - { id: app-id, key: app-key, secret: app-secret }
events:
  - on: chat.message.*
    when: data.visible
    to: 'private-chat.{data.roomId}'
    as: message.posted
    data: { id: '{data.id}', text: '{data.text}' }
    except: '{data.socketId}'
  - on: chat.message.posted
    to: ['feed', 'user:{data.userId}', 'private-log']
  - on: order.#
    to: 'order-{data.id}'
  - on: order.created
    to: orders
channels:
  - name: 'private-chat.{room}'
    allow: 'room in claims.rooms'
auth: { jwt: { secret: 0123456789abcdef0123456789abcdef } }
`;

interface Given {
  readonly data?: unknown;
  readonly body?: string;
  readonly headers?: readonly string[];
  readonly json?: boolean;
  readonly file?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly config?: string;
}

async function run(key: string, given: Given = {}) {
  const out = { stdout: '', stderr: '' };
  const files: Readonly<Record<string, string>> = { 'warren.yaml': yaml, ...given.files };
  const io: CommandIo = {
    stdout: (text) => {
      out.stdout += text;
    },
    stderr: (text) => {
      out.stderr += text;
    },
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
      return text;
    },
  };
  const data = given.body ?? (given.data === undefined ? undefined : JSON.stringify(given.data));
  const code = await explain(
    {
      key,
      data,
      file: given.file,
      headers: given.headers ?? [],
      config: given.config ?? 'warren.yaml',
      json: given.json ?? false,
      environment: {},
    },
    io,
  );
  return { code, ...out };
}

describe('warren explain', () => {
  it('shows channel, event name, data, exclusion, routing key and who may subscribe', async () => {
    const data = {
      visible: true,
      roomId: 42,
      id: 7,
      text: 'hello',
      socketId: '12.34',
      userId: 'auth0|9',
    };
    const { code, stdout, stderr } = await run('chat.message.posted', { data });
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
    expect(stdout).to.equal(`event  chat.message.posted

rules
  events[0]  on chat.message.*       yes
  events[1]  on chat.message.posted  yes
  2 rules for other routing keys

→ private-chat.42  (app app-id, by events[0])
  event        message.posted
  data         {"id":7,"text":"hello"}
  id           (random: the event has none)
  except       socket 12.34
  routing key  app-id.private-chat:42  on warren.channels
  subscribers  private, channels[0] private-chat.{room}: room in claims.rooms

→ feed  (app app-id, by events[1])
  event        chat.message.posted
  data         {"visible":true,"roomId":42,"id":7,"text":"hello","socketId":"12.34","userId":"auth0|9"}
  id           (random: the event has none)
  routing key  app-id.feed  on warren.channels
  subscribers  anyone: the channel is public

→ #server-to-user-auth0|9  (app app-id, by events[1])
  event        chat.message.posted
  data         {"visible":true,"roomId":42,"id":7,"text":"hello","socketId":"12.34","userId":"auth0|9"}
  id           (random: the event has none)
  routing key  app-id.%23server-to-user-auth0%7C9  on warren.channels
  subscribers  the signed-in user auth0|9

→ private-log  (app app-id, by events[1])
  event        chat.message.posted
  data         {"visible":true,"roomId":42,"id":7,"text":"hello","socketId":"12.34","userId":"auth0|9"}
  id           (random: the event has none)
  routing key  app-id.private-log  on warren.channels
  subscribers  whoever your own service signs for: no rule under channels matches this private channel
`);
  });

  it('shows one socket as the target', async () => {
    const config =
      "events: [{ on: '#', to: 'socket:{data.s}' }]\nchannels: [{ name: '{a}.{b}', delivery: edge }]";
    const { stdout, code } = await run('a.b', {
      files: { 'warren.yaml': config },
      data: { s: '1.2' },
    });
    expect(code).to.equal(0);
    expect(stdout).to.contain('→ socket:1.2  (app app-id, by events[0])');
    expect(stdout).to.contain('routing key  app-id.!socket  on warren.channels');
    expect(stdout).to.contain('subscribers  that one socket, while it is connected');
  });

  it('says that the payload is what a schema asks for, or what it lacks', async () => {
    const files = {
      'schema.yaml': 'events: [{ on: a, to: x, schema: s.json }]',
      [join(process.cwd(), 's.json')]: '{"required":["id"]}',
    };
    const given = { files, config: 'schema.yaml' };
    const good = await run('a', { ...given, data: { id: 1 } });
    expect(good.code).to.equal(0);
    expect(good.stdout).to.contain('on a  yes, and the payload is what s.json asks for\n');
    const bad = await run('a', { ...given, data: {} });
    expect(bad.code).to.equal(4);
    expect(bad.stdout).to.contain(
      'reason  schema_violation: events[0].schema: the payload lacks the property "id" (s.json)\n',
    );
    const json = await run('a', { ...given, data: { id: 1 }, json: true });
    expect((JSON.parse(json.stdout) as { rules: unknown }).rules).to.deep.equal([
      { rule: 0, on: 'a', outcome: 'matched', schema: 's.json' },
    ]);
  });

  it('shows whom an event takes off a channel, and whom it disconnects, in the order of the rules', async () => {
    const config = 'revoking.yaml';
    const files = {
      [config]: `events:
  - { on: user.gone, disconnect: '{data.u}' }
  - { on: user.gone, unsubscribe: { user: '{data.u}', channel: 'private-chat.{data.r}' }, to: log, data: {} }
`,
    };
    const given = { data: { u: 'auth0|9', r: 4 }, config, files };
    const { code, stdout } = await run('user.gone', given);
    expect(code).to.equal(0);
    expect(stdout).to.equal(`event  user.gone

rules
  events[0]  on user.gone  yes
  events[1]  on user.gone  yes

✕ disconnect user auth0|9  (app app-id, by events[0])
  sockets      all that are signed in as this user or are this member of a presence channel, on all edges

→ log  (app app-id, by events[1])
  event        user.gone
  data         {}
  id           (random: the event has none)
  routing key  app-id.log  on warren.channels
  subscribers  anyone: the channel is public

✕ user auth0|9 off private-chat.4  (app app-id, by events[1])
  routing key  app-id.private-chat:4  on warren.channels
  sockets      those subscribed to it that are signed in as this user or joined as this member
`);
    const json = JSON.parse((await run('user.gone', { ...given, json: true })).stdout);
    expect(json.outcome).to.equal('routed');
    expect(json.revocations).to.deep.equal([
      { rule: 0, kind: 'disconnect', app: 'app-id', user: 'auth0|9' },
      {
        rule: 1,
        kind: 'unsubscribe',
        app: 'app-id',
        user: 'auth0|9',
        channel: 'private-chat.4',
        routingKey: 'app-id.private-chat:4',
      },
    ]);
  });

  it('says what of a revocation is refused', async () => {
    const files = { 'revoking.yaml': "events: [{ on: '#', disconnect: '{data.u}' }]" };
    const { code, stdout } = await run('x', { data: { u: '' }, config: 'revoking.yaml', files });
    expect(code).to.equal(4);
    expect(stdout).to.contain('reason  invalid_user: events[0].disconnect: the user id is empty');
  });

  it('says why nothing matched, and what is near', async () => {
    const { code, stdout } = await run('chat.mesage.posted');
    expect(code).to.equal(3);
    expect(stdout).to.equal(`event  chat.mesage.posted

rules
  events[0]  on chat.message.*       no: the pattern does not match the routing key
  events[1]  on chat.message.posted  no: the pattern does not match the routing key
  events[2]  on order.#              no: the pattern does not match the routing key
  events[3]  on order.created        no: the pattern does not match the routing key

Nothing is published: no rule takes this event. It is acknowledged and counted.
  events[0] on chat.message.* is near: word 2 is "mesage", the pattern wants "message"
  events[1] on chat.message.posted is near: word 2 is "mesage", the pattern wants "message"
`);
  });

  it('hints at case and at the number of words', async () => {
    expect((await run('Order.created')).stdout).to.contain(
      'events[3] on order.created is near: word 1 is "Order", the pattern wants "order": upper and lower case count',
    );
    expect((await run('chat.message')).stdout).to.contain(
      'events[0] on chat.message.* is near: the key has 2 words, the pattern wants 3 words',
    );
    expect((await run('chat.message.posted.v2')).stdout).to.contain(
      'the key has 4 words, the pattern wants 3 words; * is exactly one word, # any number of them',
    );
    expect((await run('invoice.paid')).stdout).to.not.contain('is near');
  });

  it('tells a condition that is false from one that fails', async () => {
    const no = await run('chat.message.edited', { data: { visible: false } });
    expect(no.code).to.equal(3);
    expect(no.stdout).to.contain(
      'events[0]  on chat.message.*       no: when data.visible is false',
    );
    const failed = await run('chat.message.edited', { data: { visibel: true } });
    expect(failed.code).to.equal(3);
    expect(failed.stdout).to.contain('no: when data.visible fails: no such key: visible');
  });

  it('says which rule would dead-letter the event, and why', async () => {
    const { code, stdout } = await run('order.created', { data: { id: 'a.b' } });
    expect(code).to.equal(4);
    expect(stdout).to.equal(`event  order.created

rules
  events[2]  on order.#        refuses the event
  events[3]  on order.created  not looked at
  2 rules for other routing keys

Nothing is published: the event goes to the dead-letter queue.
  reason  invalid_segment: events[2].to: {data.id} holds other characters than A-Z a-z 0-9 _ - = @ , ; so it cannot stand in a channel name
`);
    const malformed = await run('order.created', { body: '{' });
    expect(malformed.code).to.equal(4);
    expect(malformed.stdout).to.contain('invalid_json');
  });

  it('reads the body from a file or standard input, and headers from the command line', async () => {
    const headers = [
      'cloudEvents:id=e1',
      'cloudEvents:source=/orders',
      'cloudEvents:type=OrderCreated',
      'cloudEvents:specversion=1.0',
    ];
    const files = { '-': '{"id":5}' };
    const { code, stdout } = await run('order.created', { file: '-', files, headers });
    expect(code).to.equal(0);
    expect(stdout).to.contain('event  order.created  (type OrderCreated, id e1)');
    expect(stdout).to.contain('→ order-5').and.to.contain('event        OrderCreated');
    expect(stdout).to.contain('id           e1');
  });

  it('gives all of it as JSON', async () => {
    const { code, stdout } = await run('order.created', { data: { id: 5 }, json: true });
    expect(code).to.equal(0);
    const explanation = JSON.parse(stdout) as Record<string, unknown>;
    expect(explanation).to.deep.include({ key: 'order.created', outcome: 'routed', hints: [] });
    expect(explanation['publications']).to.deep.equal([
      {
        rule: 2,
        app: 'app-id',
        channel: 'order-5',
        kind: 'public',
        event: 'order.created',
        data: '{"id":5}',
        routingKey: 'app-id.order-5',
      },
      {
        rule: 3,
        app: 'app-id',
        channel: 'orders',
        kind: 'public',
        event: 'order.created',
        data: '{"id":5}',
        routingKey: 'app-id.orders',
      },
    ]);
  });

  it('fails with 1 where warren.yaml or the arguments are not valid', async () => {
    const bad = await run('x', { files: { 'warren.yaml': 'evnts: []' } });
    expect(bad).to.deep.include({ code: 1, stdout: '' });
    expect(bad.stderr).to.contain('did you mean "events"?');
    expect((await run('x', { config: 'none.yaml' })).stderr).to.contain('cannot be read (ENOENT)');
    expect(await run('x', { file: 'none.json' })).to.deep.include({
      code: 1,
      stderr: 'none.json cannot be read (ENOENT)\n',
    });
    expect((await run('x', { headers: ['nope'] })).stderr).to.contain('write it as name=value');
    expect((await run('x'.repeat(256))).stderr).to.contain('AMQP allows 255');
  });

  it('does not let an event drive the terminal', async () => {
    const { stdout } = await run('order.created\u009b31m', { body: '{"id":"\u202e"}' });
    expect(stdout).to.not.match(/[\u0080-\u009f\u202e]/);
  });
});
