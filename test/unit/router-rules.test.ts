import { basename } from 'node:path';
import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';
import { decodeDomainEvent } from '../../contracts/domain-event.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';
import { type Action, compileRoutes, type Routed, type RuleStep } from '../../router/rules.ts';

/** `schemas/<name>.json` asks for a property of that name. */
function configOf(text: string): WarrenConfig {
  const readFile = (path: string) => JSON.stringify({ required: [basename(path, '.json')] });
  const result = loadConfig(text, { path: 'warren.yaml', production: false, readFile });
  if (result.ok) return result.config;
  throw new Error(result.problems.map((one) => `${one.path} ${one.message}`).join('\n'));
}

interface Given {
  readonly key?: string;
  readonly data?: unknown;
  readonly body?: string;
  readonly headers?: Record<string, unknown>;
  readonly messageId?: string;
  readonly type?: string;
}

function route(rules: string, given: Given = {}, observe?: (step: RuleStep) => void) {
  const event = decodeDomainEvent({
    exchange: 'domain.events',
    routingKey: given.key ?? 'chat.message.posted',
    headers: given.headers ?? {},
    body: Buffer.from(given.body ?? JSON.stringify(given.data ?? {})),
    redelivered: false,
    ...(given.messageId === undefined ? {} : { messageId: given.messageId }),
    ...(given.type === undefined ? {} : { type: given.type }),
  });
  if (!event.ok) throw new Error(event.error.text);
  return compileRoutes(configOf(rules)).route(event.value, observe);
}

const isPublication = (action: Action): action is Routed => action.kind === 'publish';

/** `channel event data id except` of each publication, or the refusal. */
function lines(rules: string, given: Given = {}): readonly string[] {
  const result = route(rules, given);
  if (!result.ok) return [`[${result.error.code}] ${result.error.text}`];
  return result.value
    .filter(isPublication)
    .map(({ publication }) =>
      [
        publication.channel,
        publication.event,
        publication.data,
        publication.id ?? '-',
        publication.except ?? '-',
      ].join(' '),
    );
}

const rule = (keys: string) => `events:\n  - { on: '#', to: feed, ${keys} }`;

describe('compileRoutes', () => {
  it('asks for each pattern once', () => {
    const text = 'events:\n  - { on: a.#, to: x }\n  - { on: b, to: x }\n  - { on: a.#, to: y }';
    expect(compileRoutes(configOf(text)).patterns).to.deep.equal(['a.#', 'b']);
  });

  it('applies every rule that matches, in file order, and no other', () => {
    const text = `events:
  - { on: chat.message.posted, to: one }
  - { on: chat.*, to: two }
  - { on: '#', to: three }
  - { on: chat.message.*, to: four }
  - { on: '*.*.posted', to: five }`;
    expect(lines(text).map((line) => line.split(' ')[0])).to.deep.equal([
      'one',
      'three',
      'four',
      'five',
    ]);
    expect(lines('events: [{ on: other, to: x }]')).to.deep.equal([]);
  });

  it('publishes nothing where one rule refuses, and looks at none behind it', () => {
    const text = `events:
  - { on: '#', to: fine }
  - { on: '#', to: 'room-{data.id}' }
  - { on: '#', to: never }`;
    const steps: string[] = [];
    const result = route(text, {}, (step) => steps.push(`${step.rule.index} ${step.outcome}`));
    expect(result.ok ? [] : result.error).to.deep.equal({
      code: 'missing_field',
      text: 'events[1].to: {data.id} is not in the event',
    });
    expect(steps).to.deep.equal(['0 matched', '1 refused']);
  });

  it('checks the payload of an event that the rule takes, before anything is read from it', () => {
    const text = `events:
  - { on: '#', to: 'a-{data.id}', schema: schemas/id.json }`;
    expect(lines(text, { data: { id: 1 } })).to.have.lengthOf(1);
    expect(lines(text)).to.deep.equal([
      '[schema_violation] events[0].schema: the payload lacks the property "id" (schemas/id.json)',
    ]);
    expect(lines(text, { key: 'k', body: '[]' })).to.have.lengthOf(1);
  });

  it('asks no schema of a rule whose pattern or condition says no', () => {
    const text = `events:
  - { on: other.#, to: a, schema: schemas/id.json }
  - { on: '#', to: b, schema: schemas/id.json, when: "event.type == 'T'" }
  - { on: '#', to: c, schema: schemas/id.json, when: data.missing }
  - { on: '#', to: d }`;
    expect(lines(text, { type: 'U' }).map((line) => line.split(' ')[0])).to.deep.equal(['d']);
    expect(lines(text, { type: 'T' })[0]).to.contain('[schema_violation] events[1].schema');
  });

  it('publishes nothing where the schema of one rule is violated', () => {
    const text = `events:
  - { on: '#', to: a }
  - { on: '#', to: b, schema: schemas/id.json }
  - { on: '#', to: c }`;
    expect(lines(text)[0]).to.contain('[schema_violation]');
    expect(lines(text, { data: { id: 1 } })).to.have.lengthOf(3);
  });

  it('takes a condition that is false, or fails, for a no', () => {
    const text = `events:
  - { on: '#', to: a, when: 'data.visible' }
  - { on: '#', to: b, when: 'data.count > 3' }
  - { on: '#', to: c, when: 'data.missing == 1' }
  - { on: '#', to: d, when: "key == 'chat.message.posted' && event.type == 'T' && headers.h == 'x'" }
  - { on: '#', to: e, when: "event.key == key && event.id == 'm1' && !has(event.subject)" }`;
    const steps: string[] = [];
    const given = {
      data: { visible: false, count: 4 },
      type: 'T',
      headers: { h: 'x' },
      messageId: 'm1',
    };
    const result = route(text, given, (step) => steps.push(step.outcome));
    expect(steps).to.deep.equal([
      'condition-false',
      'matched',
      'condition-error',
      'matched',
      'matched',
    ]);
    expect(
      result.ok && result.value.filter(isPublication).map((one) => one.channel.name),
    ).to.deep.equal(['b', 'd', 'e']);
  });

  it('publishes once to a channel that one rule yields twice', () => {
    const text =
      "events: [{ on: '#', to: ['user-{data.from}', 'user-{data.to}', 'user-{data.from}'] }]";
    const channels = (data: unknown) => lines(text, { data }).map((line) => line.split(' ')[0]);
    expect(channels({ from: 1, to: 2 })).to.deep.equal(['user-1', 'user-2']);
    expect(channels({ from: 1, to: 1 })).to.deep.equal(['user-1']);
  });

  it('gives the id of the event to its first publication on a channel, and its own to each further one', () => {
    const text = `apps:
  - { id: a, key: ka, secret: s }
  - { id: b, key: kb, secret: s }
events:
  - { app: a, on: '#', to: [x, y] }
  - { app: a, on: '#', to: x }
  - { app: b, on: '#', to: x }
  - { app: a, on: '#', to: x }`;
    const ids = (given: Given) =>
      lines(text, given).map((line) => `${line.split(' ')[0]} ${line.split(' ')[3]}`);
    expect(ids({ messageId: 'm1' })).to.deep.equal(['x m1', 'y m1', 'x m1~2', 'x m1', 'x m1~3']);
    expect(ids({})).to.deep.equal(['x -', 'y -', 'x -', 'x -', 'x -']);
  });

  describe('the event name', () => {
    const name = (keys: string, given: Given = {}) => lines(rule(keys), given)[0]?.split(' ')[1];

    it('is `as`, else the CloudEvents type, else the routing key', () => {
      const cloud = Object.fromEntries(
        Object.entries({ id: 'i', source: 's', type: 'com.x.posted', specversion: '1.0' }).map(
          ([key, value]) => [`cloudEvents:${key}`, value],
        ),
      );
      expect(name("as: 'message.{data.kind}'", { data: { kind: 'new' } })).to.equal('message.new');
      expect(name('', { headers: cloud })).to.equal('com.x.posted');
      expect(name('', { type: 'AmqpType' })).to.equal('chat.message.posted');
      expect(name("as: '{event.type}'", { type: 'AmqpType' })).to.equal('AmqpType');
    });

    it('is refused where it is empty, too long or belongs to the protocol', () => {
      const by = (value: unknown) => lines(rule("as: '{data.a}{data.b}'"), { data: value })[0];
      for (const value of [
        { a: '', b: '' },
        { a: 'pusher', b: ':subscribe' },
        { a: 'pusher_internal', b: ':x' },
        { a: 'warren:', b: 'session' },
        { a: 'x'.repeat(200), b: 'y' },
      ]) {
        expect(by(value), JSON.stringify(value)).to.match(
          /^\[invalid_event_name\] events\[0\]\.as: /,
        );
      }
      expect(lines(rule(''), { key: 'pusher:error' })[0]).to.contain('[invalid_event_name]');
      expect(lines(rule(''), { key: '' })[0]).to.contain('[invalid_event_name]');
    });
  });

  describe('the data', () => {
    it('passes byte for byte without a projection', () => {
      const body = ' {"b": 1.0,\n "a":9007199254740993}';
      const result = route(rule(''), { body });
      expect(result.ok && result.value.find(isPublication)?.publication.data).to.equal(body);
    });

    it('is refused beyond the limit of the app, counted in bytes', () => {
      const text = `apps: [{ id: a, key: k, limits: { eventPayloadBytes: 10 }, secret: s }]
events:
  - { on: whole, to: x }
  - { on: part, to: x, data: '{data.s}' }`;
      expect(lines(text, { key: 'whole', body: '"12345678"' })).to.have.length(1);
      expect(lines(text, { key: 'whole', body: '"12345678"' })[0]).to.contain('"12345678"');
      expect(lines(text, { key: 'whole', body: '"123456789"' })[0]).to.contain(
        '[payload_too_large]',
      );
      expect(lines(text, { key: 'whole', body: '"ééééé"' })[0]).to.contain('12 bytes, at most 10');
      expect(
        lines(text, { key: 'part', data: { s: 'short', rest: 'x'.repeat(99) } })[0],
      ).to.contain('x part "short"');
    });
  });

  describe('a socket as target', () => {
    const reply = "events: [{ on: '#', to: ['feed', 'socket:{data.socketId}'] }]";
    const target = (data: unknown) => lines(reply, { data }).at(-1);

    it('is the socket that the data names, beside channels', () => {
      const result = route(reply, { data: { socketId: '12.30' }, messageId: 'm' });
      const actions = result.ok ? result.value : [];
      const publications = actions.flatMap((action) =>
        action.kind === 'publish' ? [action.publication] : [],
      );
      expect(publications.map(({ channel }) => channel)).to.deep.equal(['feed', 'socket:12.30']);
      expect(publications[0]).to.not.have.property('toSocket');
      expect(publications[1]).to.include({ toSocket: true, id: 'm' });
    });

    it('must be the text of a socket id, else the event is refused', () => {
      for (const socketId of [
        null,
        '',
        '1',
        '1.2.3',
        'socket:1.2',
        '1.2 ',
        '*.1',
        12.3,
        {},
        true,
      ]) {
        expect(target({ socketId }), JSON.stringify(socketId)).to.match(
          /^\[invalid_socket_id\] events\[0\]\.to: \{data\.socketId\} is not a socket id/,
        );
      }
      expect(target({})).to.match(/^\[missing_field\]/);
    });

    it('is not reached by way of a channel name', () => {
      const whole = "events: [{ on: '#', to: '{data.channel}' }]";
      const result = lines(whole, { data: { channel: 'socket:1.2' } });
      expect(result[0]).to.match(/^\[invalid_channel\]/);
    });
  });

  describe('except', () => {
    const except = (data: unknown) => lines(rule("except: '{data.socketId}'"), { data })[0];

    it('leaves out the socket that the event names', () => {
      expect(except({ socketId: '12.34' })).to.match(/ 12\.34$/);
    });

    it('leaves out nobody where the event names none', () => {
      for (const data of [{}, { socketId: null }, { socketId: '' }, []]) {
        expect(except(data), JSON.stringify(data)).to.match(/ -$/);
      }
    });

    it('refuses what is not a socket id', () => {
      for (const socketId of ['x', '1', '1.2.3', '1.2 ', 5, 1.5e300, true, {}, ['1.2'], '-1.2']) {
        const line = except({ socketId });
        expect(line, JSON.stringify(socketId)).to.match(
          /^\[invalid_socket_id\] events\[0\]\.except/,
        );
      }
    });
  });

  it('addresses a signed-in user', () => {
    const text = "events: [{ on: '#', to: 'user:{data.userId}' }]";
    const result = route(text, { data: { userId: 'auth0|42' } });
    const routed = result.ok ? result.value.find(isPublication) : undefined;
    expect(routed?.channel).to.include({ kind: 'server-to-user', userId: 'auth0|42' });
  });

  it('holds to the limits of the rule’s own app', () => {
    const text = `apps:
  - { id: a, key: ka, secret: s, limits: { channelNameLength: 10, eventNameLength: 19 } }
  - { id: b, key: kb, secret: s }
events:
  - { app: b, on: '#', to: 'channel-{data.id}' }
  - { app: a, on: x, to: 'chan-{data.id}' }
  - { app: a, on: '#', to: short }`;
    expect(lines(text, { key: 'x', data: { id: '123456' } })[0]).to.contain('[invalid_channel]');
    expect(lines(text, { key: 'x', data: { id: '12345' } })).to.have.length(3);
    expect(lines(text, { data: { id: 1 } })).to.have.length(2);
    expect(lines(text, { key: 'chat.message.posted2', data: { id: 1 } })[0]).to.contain(
      '[invalid_event_name]',
    );
  });

  it('carries the trace on', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const result = route(rule(''), { headers: { traceparent, tracestate: 'a=b' } });
    const routed = result.ok ? result.value.find(isPublication) : undefined;
    expect(routed?.publication).to.include({ traceparent, tracestate: 'a=b' });
  });

  it('names the rule and the key in a refusal, and never the value', () => {
    const line = lines("events: [{ on: '#', to: 'a-{data.id}' }]", {
      data: { id: 's3cr3t word' },
    })[0];
    expect(line).to.match(/^\[invalid_segment\] events\[0\]\.to: \{data\.id\} /);
    expect(line).to.not.contain('s3cr3t');
  });

  describe('unsubscribe and disconnect', () => {
    const both = (user: string, channel: string) =>
      `events: [{ on: '#', unsubscribe: { user: '${user}', channel: '${channel}' }, disconnect: '${user}' }]`;
    /** `kind user channel` of each action, or the refusal. */
    const acts = (text: string, data: unknown): readonly string[] => {
      const result = route(text, { data });
      if (!result.ok) return [`[${result.error.code}] ${result.error.text}`];
      return result.value.map((action) => {
        if (action.kind === 'publish') return `publish ${action.channel.name}`;
        if (action.kind === 'disconnect') return `disconnect ${action.user} of ${action.app}`;
        const { appId, user, channel } = action.revocation;
        return `unsubscribe ${user} from ${channel} of ${appId}`;
      });
    };

    it('name the user and the channel that the data names', () => {
      const text = both('{data.u}', 'private-chat.{data.r}');
      expect(acts(text, { u: 'auth0|42', r: 7 })).to.deep.equal([
        'unsubscribe auth0|42 from private-chat.7 of app-id',
        'disconnect auth0|42 of app-id',
      ]);
      // Presence members with a number for an id are known by the same text.
      expect(acts(text, { u: 42, r: 'x' })[1]).to.equal('disconnect 42 of app-id');
    });

    it('come behind what the rule publishes, and rules keep the order of the file', () => {
      const text = `events:
  - { on: '#', disconnect: '{data.u}', to: first, unsubscribe: { user: '{data.u}', channel: private-a } }
  - { on: '#', to: second }`;
      expect(acts(text, { u: 'x' })).to.deep.equal([
        'publish first',
        'unsubscribe x from private-a of app-id',
        'disconnect x of app-id',
        'publish second',
      ]);
    });

    it('belong to the app of the rule', () => {
      const text = `apps: [{ id: a, key: ka, secret: s }, { id: b, key: kb, secret: s }]
events: [{ app: b, on: '#', disconnect: '{data.u}' }, { app: a, on: '#', when: 'data.no', disconnect: '{data.u}' }]`;
      expect(acts(text, { u: 'x', no: false })).to.deep.equal(['disconnect x of b']);
    });

    it('refuse what would mean another user or channel than the template’s author meant', () => {
      const refused: readonly (readonly [string, string, unknown, string, string])[] = [
        [
          '{data.u}',
          'private-a',
          { u: '' },
          'invalid_user',
          'unsubscribe.user: the user id is empty',
        ],
        ['{data.u}', 'private-a', { u: 'x'.repeat(129) }, 'invalid_user', 'unsubscribe.user'],
        ['{data.u}', 'private-a', {}, 'missing_field', 'unsubscribe.user'],
        ['{data.u}', 'private-a', { u: null }, 'invalid_field', 'unsubscribe.user'],
        ['{data.u}', 'private-a', { u: '\ud800' }, 'invalid_field', 'unsubscribe.user'],
        ['t-{data.t}|{data.u}', 'private-a', { t: 'a|b', u: 'c' }, 'invalid_segment', 'user id'],
        ['{data.u}', 'private-{data.r}', { u: 'x', r: 'a.b' }, 'invalid_segment', 'channel name'],
        [
          '{data.u}',
          'private-{data.r}',
          { u: 'x', r: 'cache-b' },
          'invalid_channel',
          'another kind',
        ],
        ['{data.u}', '{data.r}', { u: 'x', r: 'private chat' }, 'invalid_channel', 'channel'],
      ];
      for (const [user, channel, data, code, text] of refused) {
        const [line, ...more] = acts(both(user, channel), data);
        expect(line, JSON.stringify(data)).to.contain(`[${code}] events[0].unsubscribe.`);
        expect(line).to.contain(text);
        expect(more).to.deep.equal([]);
      }
      expect(acts("events: [{ on: '#', disconnect: 'a-{data.u}' }]", { u: 'b c' })[0]).to.contain(
        '[invalid_segment] events[0].disconnect: {data.u} holds other characters',
      );
    });
  });
});
