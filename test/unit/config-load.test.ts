import { expect } from 'chai';
import { type LoadOptions, loadConfig, loadConfigFile } from '../../config/load.ts';
import { formatProblems, type Problem } from '../../config/problems.ts';

const missing = (path: string): string => {
  throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
};

const load = (text: string, options: Partial<LoadOptions> = {}) =>
  loadConfig(text, { path: 'warren.yaml', production: false, readFile: missing, ...options });

function problemsOf(text: string, options: Partial<LoadOptions> = {}): readonly Problem[] {
  const result = load(text, options);
  return result.ok ? [] : result.problems;
}

/** `path message` of each problem, for short comparisons. */
const told = (problems: readonly Problem[]) =>
  problems.map((problem) => `${problem.path} ${problem.message}`);

const twoApps = 'apps:\n  - { id: a, key: ka, secret: s }\n  - { id: b, key: kb, secret: s }\n';

describe('loadConfig', () => {
  it('reads the contracts as the program wants them', () => {
    const result = load(`
apps:
  - id: shop
    key: shop-key
    secret: shop-secret
    allowedOrigins: ['https://example.com']
    limits: { connections: 10000 }
events:
  - on: chat.message.*
    when: 'data.visible'
    to: 'private-chat.{data.roomId}'
    as: 'message.posted'
    data: { id: '{data.id}', text: '{data.text}' }
    except: '{data.socketId}'
  - on: '#'
    to: ['feed', 'user:{data.userId}']
channels:
  - name: 'private-chat.{room}'
    allow: 'room in claims.rooms'
auth:
  jwt: { secret: 0123456789abcdef0123456789abcdef, issuer: users, audience: warren }
`);
    expect(result.ok && result.warnings).to.deep.equal([]);
    const config = result.ok ? result.config : undefined;
    expect(config?.apps[0]).to.deep.include({
      id: 'shop',
      key: 'shop-key',
      secret: 'shop-secret',
      allowedOrigins: ['https://example.com'],
    });
    expect(config?.apps[0]?.limits).to.include({ connections: 10_000, eventPayloadBytes: 10_240 });
    expect(config?.events).to.deep.equal([
      {
        index: 0,
        app: 'shop',
        on: 'chat.message.*',
        when: 'data.visible',
        to: ['private-chat.{data.roomId}'],
        as: 'message.posted',
        data: { id: '{data.id}', text: '{data.text}' },
        except: '{data.socketId}',
      },
      { index: 1, app: 'shop', on: '#', to: ['feed', 'user:{data.userId}'] },
    ]);
    expect(config?.channels).to.deep.equal([
      { index: 0, app: 'shop', name: 'private-chat.{room}', allow: 'room in claims.rooms' },
    ]);
    expect(config?.auth?.jwt).to.deep.equal({
      secret: '0123456789abcdef0123456789abcdef',
      algorithms: ['HS256'],
      issuer: 'users',
      audience: 'warren',
      userClaim: 'sub',
    });
  });

  it('tells every problem at once, in file order, each with place and cure', () => {
    const text = formatProblems(
      problemsOf(`apps:
  - id: a.b
    key: 12345
    secret: s
events:
  - on: order.*
    tos: 'orders'
  - on: a*b
    when: 'data.total = 1'
    to: 'private chat.{data.id}'
    data: { a: '{roomId}' }
chanels: []
`),
    );
    expect(
      text,
    ).to.equal(`warren.yaml:2:9  apps[0].id must be 1 to 64 characters of A-Z a-z 0-9 _ - = @ , ;, not "a.b"
     2 |   - id: a.b
       |         ^
warren.yaml:3:10  apps[0].key must be text, not a number
     3 |     key: 12345
       |          ^
    cure: put quotes around the value
warren.yaml:7:5  events[0].tos is not a known key; did you mean "to"?
     7 |     tos: 'orders'
       |     ^
warren.yaml:8:9  events[1].on is not a topic pattern: "a*b" mixes a wildcard with text: * and # are wildcards only as a whole word
     8 |   - on: a*b
       |         ^
warren.yaml:9:23  events[1].when is not CEL: unexpected character: =
     9 |     when: 'data.total = 1'
       |                       ^
    cure: == compares, there is no other =
warren.yaml:10:9  events[1].to can never be a channel name: a channel name may hold only letters, digits and _ - = @ , . ;
    10 |     to: 'private chat.{data.id}'
       |         ^
warren.yaml:11:18  events[1].data.a does not know {roomId}
    11 |     data: { a: '{roomId}' }
       |                  ^
    cure: fields of the payload are written {data.roomId}; there are also {event.…}, {headers.…} and {key}
warren.yaml:12:1  chanels is not a known key; did you mean "channels"?
    12 | chanels: []
       | ^`);
  });

  it('refuses keys of later versions by name instead of ignoring them', () => {
    const later = problemsOf(`
apps:
  - { id: a, key: k, secret: s }
partitions: 4
`);
    expect(told(later)).to.deep.equal(['partitions is not available in this version of Warren']);
  });

  it('reads further exchanges and queues, and refuses names that AMQP cannot carry', () => {
    const ingressOf = (text: string) => {
      const result = load(text);
      return result.ok ? result.config.ingress : result.problems.map(({ path }) => path);
    };
    expect(
      ingressOf('ingress: { exchanges: [legacy.events, amq.topic], queues: [a b/c] }'),
    ).to.deep.equal({ exchanges: ['legacy.events', 'amq.topic'], queues: ['a b/c'] });
    expect(ingressOf('ingress: { queues: [a] }')).to.deep.equal({ exchanges: [], queues: ['a'] });
    expect(ingressOf('events: []')).to.equal(undefined);
    const long = 'ä'.repeat(128);
    expect(
      ingressOf(
        `ingress: { exchanges: [a, a], queues: ['', "a\\0b", ${long}, 5, '${'ä'.repeat(127)}'] }`,
      ),
    ).to.have.members(['ingress.exchanges[1]', 'ingress.queues[0]', 'ingress.queues[3]']);
    expect(ingressOf(`ingress: { exchanges: ["a\\0b"], queues: [${long}] }`)).to.deep.equal([
      'ingress.exchanges[0]',
      'ingress.queues[0]',
    ]);
    const many = Array.from({ length: 21 }, (_, at) => `q${at}`).join(', ');
    expect(ingressOf(`ingress: { queues: [${many}] }`)).to.deep.equal(['ingress.queues']);
    expect(problemsOf('ingress: { queue: [a] }')[0]?.message).to.contain('did you mean "queues"?');
  });

  it('takes rules that take a user off a channel, or off all of them', () => {
    const result = load(`events:
  - { on: user.suspended, disconnect: '{data.userId}' }
  - { on: member.removed, when: 'data.really', unsubscribe: { user: '{data.userId}', channel: 'private-chat.{data.roomId}' } }
`);
    expect(result.ok && result.config.events).to.deep.equal([
      { index: 0, app: 'app-id', on: 'user.suspended', to: [], disconnect: '{data.userId}' },
      {
        index: 1,
        app: 'app-id',
        on: 'member.removed',
        when: 'data.really',
        to: [],
        unsubscribe: { user: '{data.userId}', channel: 'private-chat.{data.roomId}' },
      },
    ]);
  });

  it('warns where taking a user off a channel has little effect', () => {
    const { warnings } = load(`events:
  - { on: a, unsubscribe: { user: '{data.u}', channel: 'chat.{data.r}' } }
  - { on: b, disconnect: '{data.u}' }
  - { on: b, disconnect: '{data.u}' }
`);
    expect(told(warnings)).to.include.members([
      'events[0].unsubscribe.channel is a public channel: whoever is taken off it may subscribe again',
      'events[2] is the same as events[1]: it does nothing more',
    ]);
  });

  it('tells what is wrong with such a rule', () => {
    const problems = problemsOf(`events:
  - { on: a }
  - { on: b, when: 'true', as: x, data: '{data.a}' }
  - { on: c, disconnect: '{data.u}', as: x, data: { a: '{data.a}' }, except: '{data.s}' }
  - { on: d, disconect: '{data.u}', as: x }
  - { on: e, disconnect: bob }
  - { on: f, unsubscribe: { user: '{data.u', channel: 'user:{data.u}' } }
  - { on: g, unsubscribe: { user: '{data.u}' } }
  - { on: h, unsubscribe: { user: '{data.u}', channel: 'private chat', room: x } }
  - { on: i, unsubscribe: 'private-{data.r}' }
  - on: j
    disconnect: {data.userId}
`);
    expect(
      problems.map(({ path, message, cure }) =>
        [path, message, ...(cure ? [cure] : [])].join(' | '),
      ),
    ).to.deep.equal([
      `events[0] | has none of "to", "unsubscribe" and "disconnect", so it does nothing | for example  to: 'private-chat.{data.roomId}'`,
      `events[1] | has none of "to", "unsubscribe" and "disconnect", so it does nothing | for example  to: 'private-chat.{data.roomId}'`,
      ...['as', 'data', 'except'].map(
        (key) =>
          `events[2].${key} | is about what is published, and the rule has no "to" | name the channels under "to", or remove the key`,
      ),
      'events[3].disconect | is not a known key; did you mean "disconnect"?',
      "events[4].disconnect | names no field | for example  '{data.userId}'",
      'events[5].unsubscribe.user | has a { without } | write {{ for a literal brace',
      "events[5].unsubscribe.channel | names the channel of a user, which is open to whoever is signed in as that user | write  disconnect: '{data.userId}'",
      `events[6].unsubscribe | has no "channel" | for example  channel: 'private-chat.{data.roomId}'`,
      'events[7].unsubscribe.channel | can never be a channel name: a channel name may hold only letters, digits and _ - = @ , . ;',
      'events[7].unsubscribe.room | is not a known key; known here: user, channel',
      'events[8].unsubscribe | must be a map of keys, not text',
      "events[9].disconnect | must be text, not a map | YAML reads an unquoted {…} as a map: put quotes around it: '{data.userId}'",
    ]);
  });

  it('sees through the classic mistakes of YAML', () => {
    const cures = problemsOf(`
events:
  - on: #
    to: {data.channel}
    data: {data.body}
  - on: x
    to: y
    as: 5
`).map((problem) => `${problem.path}: ${problem.cure ?? ''}`);
    expect(cures).to.have.length(4);
    expect(cures[0]).to.match(/^events\[0\]\.on: a # starts a comment/);
    expect(cures[1]).to.contain("'{data.channel}'");
    expect(cures[2]).to.contain("'{data.body}'");
    expect(cures[3]).to.contain('put quotes around the value');
  });

  it('never repeats a secret', () => {
    const result = load(`
apps:
  - { id: a, key: k, secret: 73577357 }
  - { id: b, key: k2, secret: [73577357] }
  - { id: c, key: k3, secret: 73577357x, secretFile: f, foo: 1 }
auth: { jwt: { secret: 73577357x, foo: 1 } }
`);
    const text = JSON.stringify(result);
    expect(text).to.contain('apps[0].secret').and.to.not.contain('73577357');
  });

  describe('apps', () => {
    it('stands in with app-id, loudly, and refuses that in production', () => {
      const result = load('');
      expect(result.ok && result.config.apps[0]).to.deep.include({
        id: 'app-id',
        key: 'app-key',
        secret: 'app-secret',
        allowedOrigins: ['*'],
      });
      expect(result.warnings[0]?.message).to.contain('CONFIGURES NO APP');
      const refused = problemsOf('', { production: true });
      expect(refused[0]?.message).to.contain('in production there is no built-in one');
      expect(refused[0]?.cure).to.contain('WARREN_APP_ID');
    });

    it('takes the app of the settings where the file lists none, and says when it is ignored', () => {
      const fallbackApp = { id: 'env', key: 'k', secret: 's' };
      const used = load('', { fallbackApp, production: true });
      expect(used.ok && used.config.apps[0]?.id).to.equal('env');
      expect(used.warnings).to.deep.equal([]);
      const ignored = load('apps: [{ id: a, key: k, secret: s }]', { fallbackApp });
      expect(ignored.warnings.map((one) => one.file)).to.deep.equal(['WARREN_APP_ID']);
      expect(problemsOf('', { fallbackApp: { ...fallbackApp, id: 'a.b' } })[0]?.file).to.equal(
        'WARREN_APP_ID',
      );
      expect(problemsOf('', { fallbackApp: { ...fallbackApp, key: 'a/b' } })[0]?.file).to.equal(
        'WARREN_APP_KEY',
      );
    });

    it('wants ids and keys that are unique', () => {
      const text = 'apps:\n  - { id: a, key: k, secret: s }\n  - { id: a, key: k, secret: s }';
      expect(told(problemsOf(text))).to.deep.equal([
        'apps[1].id "a" is the id of apps[0] already',
        'apps[1].key "k" is the key of apps[0] already',
      ]);
    });

    it('reads secretFile beside the file, without its final newline', () => {
      const read: string[] = [];
      const result = load('apps: [{ id: a, key: k, secretFile: secrets/a }]', {
        path: '/etc/warren/warren.yaml',
        readFile: (path) => {
          read.push(path);
          return 'from-file\n';
        },
      });
      expect(read).to.deep.equal(['/etc/warren/secrets/a']);
      expect(result.ok && result.config.apps[0]?.secret).to.equal('from-file');
    });

    it('says what is wrong with a secretFile', () => {
      const text = 'apps: [{ id: a, key: k, secretFile: f }]';
      expect(told(problemsOf(text))).to.deep.equal(['apps[0].secretFile cannot be read (ENOENT)']);
      expect(told(problemsOf(text, { readFile: () => '\n' }))).to.deep.equal([
        'apps[0].secretFile names an empty file',
      ]);
      expect(told(problemsOf('apps: [{ id: a, key: k }]'))).to.deep.equal([
        'apps[0] has no "secret"',
      ]);
    });

    it('takes origins as browsers send them', () => {
      const origins = (list: string) =>
        problemsOf(`apps: [{ id: a, key: k, allowedOrigins: ${list}, secret: s }]`);
      expect(origins("['*', 'https://a.example:8443', 'http://localhost:3000']")).to.deep.equal([]);
      const cures = origins(
        "['https://Example.com', 'https://a.example/', 'https://a.example:443', 'https://*.a.example', 'a.example', 'null']",
      ).map((problem) => problem.cure ?? problem.message);
      expect(cures).to.deep.equal([
        "write 'https://example.com'",
        "write 'https://a.example'",
        "write 'https://a.example'",
        'write each origin out; only * alone stands for all of them',
        'write scheme://host or scheme://host:port, as https://example.com, or *',
        'write scheme://host or scheme://host:port, as https://example.com, or *',
      ]);
    });

    it('warns in production where every origin may connect', () => {
      const text = 'apps: [{ id: a, key: k, secret: s }]';
      expect(told(load(text, { production: true }).warnings)[0]).to.contain('no allowedOrigins');
      expect(load(text).warnings).to.deep.equal([]);
    });
  });

  describe('the app of a rule', () => {
    it('must be named where there are several, and must exist', () => {
      const found = problemsOf(
        `${twoApps}events:\n  - { on: x, to: y }\n  - { on: x, to: y, app: bb }\n  - { on: x, to: y, app: b }\n`,
      );
      expect(told(found)).to.deep.equal([
        'events[0] has no "app", and there are several',
        'events[1].app "bb" is not an app here; did you mean "b"?',
      ]);
    });

    it('is not held against a rule where the apps themselves are wrong', () => {
      const text = 'apps: [{ id: a.b, key: k, secret: s }]\nevents: [{ on: x, to: y, app: c }]';
      expect(told(problemsOf(text))).to.have.length(1);
    });
  });

  describe('event rules', () => {
    const rule = (keys: string) => told(problemsOf(`events:\n  - { on: x, to: y, ${keys} }`));

    it('refuses an event name that belongs to the protocol or is too long', () => {
      for (const name of ['pusher:x', 'pusher_internal:x', 'warren:x', 'pusher:{data.x}']) {
        expect(rule(`as: '${name}'`)[0], name).to.contain('belongs to the protocol');
      }
      expect(rule(`as: '${'x'.repeat(201)}'`)[0]).to.contain('longer than the 200 characters');
    });

    it('refuses an except without a field', () => {
      expect(rule("except: '1.2'")).to.deep.equal(['events[0].except names no field']);
    });

    it('takes one field alone as a socket', () => {
      expect(problemsOf("events: [{ on: x, to: ['a', 'socket:{data.s}'] }]")).to.deep.equal([]);
      for (const target of [
        'socket:1.2',
        'socket:{data.a}.{data.b}',
        'socket:',
        'socket: {data.a}',
      ]) {
        expect(
          told(problemsOf(`events: [{ on: x, to: ['a', '${target}'] }]`)),
          target,
        ).to.deep.equal(['events[0].to[1] must name a socket by one field alone']);
      }
      const [broken] = problemsOf("events: [{ on: x, to: 'socket:{data' }]");
      expect(broken?.path).to.equal('events[0].to');
    });

    it('warns of a rule that is given twice', () => {
      const result = load(
        'events:\n  - { on: x, to: y }\n  - { on: x, to: z }\n  - { on: x, to: [y] }',
      );
      expect(result.ok).to.equal(true);
      expect(told(result.warnings).filter((one) => one !== undefined)).to.include(
        'events[2] is the same as events[0]: clients would get each event twice',
      );
    });
  });

  describe('channel rules', () => {
    const rules = (...names: string[]) =>
      told(
        problemsOf(
          `channels:\n${names.map((name) => `  - { name: '${name}', allow: 'true' }`).join('\n')}`,
        ),
      );

    it('refuses a rule that an earlier one hides', () => {
      for (const [earlier, later] of [
        ['private-{x}', 'private-{y}'],
        ['private-{x}', 'private-chat'],
        ['private-{x}', 'private-chat-{id}'],
        ['private-{a}.{b}', 'private-chat.{id}'],
        ['private-chat-{id}', 'private-chat-x-{id}'],
      ] as const) {
        expect(rules(earlier, later)[0], later).to.contain('is never asked: channels[0]');
      }
    });

    it('lets a narrower rule come first, and takes rules of other apps for themselves', () => {
      expect(rules('private-chat.{id}', 'private-{a}.{b}', 'private-{x}')).to.deep.equal([]);
      const text = `${twoApps}channels:
  - { app: a, name: 'private-{x}', allow: 'true' }
  - { app: b, name: 'private-{x}', allow: 'true' }`;
      expect(problemsOf(text)).to.deep.equal([]);
    });

    it('checks the condition against the parameters of the name', () => {
      const found = problemsOf("channels: [{ name: 'private-a.{id}', allow: 'idd == user.id' }]");
      expect(told(found)).to.deep.equal([
        'channels[0].allow does not know "idd"; did you mean "id"?',
      ]);
    });

    it('warns where nothing asks them', () => {
      const result = load("channels: [{ name: 'private-{x}', allow: 'true' }]");
      expect(told(result.warnings).join('\n')).to.contain('needs auth.jwt');
    });
  });

  describe('egress', () => {
    const egress = (text: string) => {
      const result = load(text);
      return result.ok ? result.config.egress : told(result.problems);
    };

    it('tells services of client events, and of more only where it is asked for', () => {
      const defaults = { clientEvents: true, presence: false, occupancy: false };
      expect(egress('')).to.deep.equal(defaults);
      expect(egress('egress: {}')).to.deep.equal(defaults);
      const asked = egress('egress: { clientEvents: false, presence: true, occupancy: true }');
      expect(asked).to.deep.equal({ clientEvents: false, presence: true, occupancy: true });
    });

    it('says what is wrong with it', () => {
      expect(egress("egress: { presense: true, occupancy: 'yes' }")).to.deep.equal([
        'egress.presense is not a known key; did you mean "presence"?',
        'egress.occupancy must be true or false, not text',
      ]);
    });
  });

  describe('auth', () => {
    it('warns of a secret that is too short for HS256', () => {
      const result = load('auth: { jwt: { secret: short } }');
      expect(told(result.warnings).join('\n')).to.contain('shorter than 32 bytes');
    });

    it('knows where userClaim belongs, and its algorithms', () => {
      expect(
        told(problemsOf('auth: { userClaim: uid, jwt: { secret: x, algorithms: [none] } }')),
      ).to.deep.equal([
        'auth.userClaim belongs under auth.jwt',
        'auth.jwt.algorithms[0] "none" is not available in this version of Warren; there is "HS256", ' +
          '"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"',
      ]);
    });
  });
});

describe('loadConfigFile', () => {
  const settings = { configPath: 'warren.yaml', app: undefined, production: false };

  it('takes a default file that is missing for an empty one, and no other', () => {
    expect(loadConfigFile({ ...settings, configPathGiven: false }, missing).ok).to.equal(true);
    const named = loadConfigFile({ ...settings, configPathGiven: true }, missing);
    expect(named.ok ? '' : formatProblems(named.problems)).to.contain(
      'warren.yaml  cannot be read (ENOENT)',
    );
    const unreadable = loadConfigFile({ ...settings, configPathGiven: false }, () => {
      throw Object.assign(new Error('no'), { code: 'EACCES' });
    });
    expect(unreadable.ok).to.equal(false);
  });
});
