import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Environment } from '../../runtime/env.ts';
import {
  readSettings,
  type Settings,
  scriptSettings,
  settingsTable,
} from '../../runtime/settings.ts';

const noFile = (path: string): string => {
  throw new Error(`ENOENT: no such file, open '${path}'`);
};

function settingsFor(environment: Environment, readFile = noFile): Settings {
  const result = readSettings(environment, readFile);
  if (result.ok) return result.settings;
  throw new Error(`expected settings, got ${JSON.stringify(result.problems)}`);
}

/** `NAME message` of each problem. */
function problemsOf(environment: Environment, readFile = noFile): readonly string[] {
  const result = readSettings(environment, readFile);
  if (result.ok) throw new Error('expected problems, got settings');
  return result.problems.map(({ name, message }) => `${name} ${message}`);
}

const app = { WARREN_APP_ID: 'a', WARREN_APP_KEY: 'k', WARREN_APP_SECRET: 's' };

describe('readSettings', () => {
  it('needs nothing: every default works on a developer’s machine', () => {
    expect(settingsFor({})).to.deep.equal({
      brokerUrls: ['amqp://guest:guest@127.0.0.1:5672'],
      host: '0.0.0.0',
      port: 6001,
      metricsHost: '127.0.0.1',
      metricsPort: 9601,
      configPath: 'warren.yaml',
      configPathGiven: false,
      reloadMs: 1_000,
      app: undefined,
      activityTimeoutMs: 30_000,
      pongTimeoutMs: 30_000,
      drainMs: 30_000,
      prefetch: 100,
      queueMaxLength: 10_000,
      hotAfter: 8,
      ownQueues: 2_000,
      resumeWindowMs: 120_000,
      sessionMaxLength: 1_000,
      shedPerSecond: 0,
      socketBufferBytes: 1_048_576,
      slowSocketMs: 30_000,
      routerPrefetch: 200,
      confirmTimeoutMs: 10_000,
      heartbeatSeconds: 5,
      topologyPrefix: '',
      domainExchange: undefined,
      webhookPrivateTargets: [],
      redis: {},
      logLevel: 'info',
      production: false,
    });
  });

  it('takes every setting from its variable', () => {
    const given = settingsFor({
      WARREN_BROKER_URL: 'amqps://u:p@one:5671/vhost, amqp://two',
      WARREN_HOST: '127.0.0.1',
      WARREN_PORT: '0',
      WARREN_METRICS_HOST: '::1',
      WARREN_METRICS_PORT: '9000',
      WARREN_CONFIG: '/etc/warren.yaml',
      WARREN_RELOAD_MS: '0',
      ...app,
      WARREN_ACTIVITY_TIMEOUT_MS: '1000',
      WARREN_PONG_TIMEOUT_MS: '500',
      WARREN_DRAIN_MS: '0',
      WARREN_PREFETCH: '1',
      WARREN_QUEUE_MAX_LENGTH: '10',
      WARREN_HOT_AFTER: '3',
      WARREN_OWN_QUEUES: '0',
      WARREN_RESUME_WINDOW_MS: '1000',
      WARREN_SESSION_MAX_LENGTH: '11',
      WARREN_SHED_PER_SECOND: '12',
      WARREN_SOCKET_BUFFER_BYTES: '16384',
      WARREN_SLOW_SOCKET_MS: '100',
      WARREN_ROUTER_PREFETCH: '2',
      WARREN_CONFIRM_TIMEOUT_MS: '101',
      WARREN_HEARTBEAT_SECONDS: '1',
      WARREN_TOPOLOGY_PREFIX: 'staging.',
      WARREN_DOMAIN_EXCHANGE: 'shop.events',
      WARREN_WEBHOOK_PRIVATE_TARGETS: 'Hooks.internal, 10.0.0.0/8',
      REDIS_HOST: 'cache',
      REDIS_PORT: '6380',
      REDIS_PASSWORD: 's3cret',
      WARREN_LOG_LEVEL: 'debug',
      NODE_ENV: 'production',
    });
    expect(given).to.deep.equal({
      brokerUrls: ['amqps://u:p@one:5671/vhost', 'amqp://two'],
      host: '127.0.0.1',
      port: 0,
      metricsHost: '::1',
      metricsPort: 9000,
      configPath: '/etc/warren.yaml',
      configPathGiven: true,
      reloadMs: 0,
      app: { id: 'a', key: 'k', secret: 's' },
      activityTimeoutMs: 1000,
      pongTimeoutMs: 500,
      drainMs: 0,
      prefetch: 1,
      queueMaxLength: 10,
      hotAfter: 3,
      ownQueues: 0,
      resumeWindowMs: 1000,
      sessionMaxLength: 11,
      shedPerSecond: 12,
      socketBufferBytes: 16_384,
      slowSocketMs: 100,
      routerPrefetch: 2,
      confirmTimeoutMs: 101,
      heartbeatSeconds: 1,
      topologyPrefix: 'staging.',
      domainExchange: 'shop.events',
      webhookPrivateTargets: ['hooks.internal', '10.0.0.0/8'],
      redis: { host: 'cache', port: '6380', password: 's3cret' },
      logLevel: 'debug',
      production: true,
    });
  });

  it('takes what other programs read as it is, and is not stopped by it', () => {
    const shared = { REDIS_HOST: '', REDIS_PORT: 'tcp://10.0.0.9:6379', REDIS_PASSWORD: 'null' };
    expect(settingsFor(shared).redis).to.deep.equal({});
    expect(settingsFor({ REDIS_PORT: 'soon' }).redis).to.deep.equal({ port: 'soon' });
    const twice = settingsFor({ REDIS_PASSWORD: 'a', REDIS_PASSWORD_FILE: '/run/b' }).redis;
    expect(twice).to.deep.equal({
      problems: ['REDIS_PASSWORD is set twice: REDIS_PASSWORD and REDIS_PASSWORD_FILE'],
    });
    const readFile = (path: string) => (path === '/run/b' ? 's3cret\n' : '');
    expect(settingsFor({ REDIS_PASSWORD_FILE: '/run/b' }, readFile).redis.password).to.equal(
      's3cret',
    );
  });

  it('takes an empty variable for one that is not set', () => {
    const empty = Object.fromEntries(Object.keys(settingsTable).map((name) => [name, '']));
    expect(settingsFor({ ...empty, WARREN_APP_SECRET_FILE: '' })).to.deep.equal(settingsFor({}));
  });

  it('leaves the variables of other programs alone', () => {
    expect(
      readSettings({ PATH: '/bin', WARRENTY: 'x', warren_port: 'x', MY_WARREN_PORT: 'x' }),
    ).to.include({ ok: true });
  });

  it('reports every mistake at once', () => {
    const problems = problemsOf({
      WARREN_PORT: '70000',
      WARREN_DRAIN_MS: 'soon',
      WARREN_LOG_LEVEL: 'loud',
      WARREN_BROKER_URL: 'http://x',
      WARREN_TOPOLOGY_PREFIX: 'a b',
      WARREN_METRIC_PORT: '9601',
      WARREN_APP_ID: 'only-this',
    });
    expect(problems).to.have.lengthOf(7);
  });

  describe('whole numbers', () => {
    /** Without them the ends of the range contradict another setting. */
    const beside: Environment = { WARREN_PREFETCH: '1', WARREN_SESSION_MAX_LENGTH: '1000000' };
    for (const [name, setting] of Object.entries(settingsTable)) {
      if (setting.type !== 'integer') continue;
      const { minimum, maximum } = setting;
      it(`${name}: ${minimum} to ${maximum}, default ${setting.default}`, () => {
        expect(setting.default).to.be.within(minimum, maximum);
        for (const good of [minimum, maximum]) {
          expect(readSettings({ ...beside, [name]: String(good) }).ok, String(good)).to.equal(true);
        }
        const bad = [
          minimum - 1,
          maximum + 1,
          minimum + 0.5,
          'x',
          '0x10',
          '1e3',
          ' 5',
          '5 ',
          '+5',
          '٣',
          'NaN',
          'Infinity',
          'true',
          '9'.repeat(400),
        ];
        for (const value of bad.map(String)) {
          const [problem] = problemsOf({ [name]: value });
          expect(problem).to.include(name).and.include(`${minimum} to ${maximum}`);
        }
      });
    }
  });

  it('wants the queue of a session to hold more than is under way to its client', () => {
    const lengths = (prefetch: string, length: string) => ({
      WARREN_PREFETCH: prefetch,
      WARREN_SESSION_MAX_LENGTH: length,
    });
    expect(readSettings(lengths('50', '51')).ok).to.equal(true);
    expect(problemsOf(lengths('50', '50'))).to.deep.equal([
      'WARREN_SESSION_MAX_LENGTH must be above WARREN_PREFETCH (50), not 50: what is under way to a client goes back into the queue when it leaves',
    ]);
    expect(problemsOf({ WARREN_PREFETCH: '1000' })).to.have.lengthOf(1);
  });

  it('takes one of the listed choices, and lists them otherwise', () => {
    for (const level of ['debug', 'info', 'warn', 'error', 'silent']) {
      expect(settingsFor({ WARREN_LOG_LEVEL: level }).logLevel).to.equal(level);
    }
    for (const level of ['INFO', 'trace', 'true', '1']) {
      expect(problemsOf({ WARREN_LOG_LEVEL: level })).to.deep.equal([
        `WARREN_LOG_LEVEL must be one of debug, info, warn, error, silent, not "${level}"`,
      ]);
    }
  });

  it('takes amqp and amqps URLs, or memory: alone, for a broker', () => {
    for (const url of [
      'memory:',
      'amqp://x',
      'amqps://u:p@x:1/v',
      'amqp://a,amqp://b,  amqps://c',
    ]) {
      expect(readSettings({ WARREN_BROKER_URL: url }).ok, url).to.equal(true);
    }
    for (const url of [
      'memory',
      'memory:,amqp://x',
      'amqp://',
      'x',
      'amqp://a,,amqp://b',
      'amqp://a;amqp://b c',
      'amqp://a,',
    ]) {
      expect(readSettings({ WARREN_BROKER_URL: url }).ok, url).to.equal(false);
    }
  });

  it('says what a list of private webhook targets must hold', () => {
    expect(problemsOf({ WARREN_WEBHOOK_PRIVATE_TARGETS: '10.0.0.0/33' })).to.deep.equal([
      'WARREN_WEBHOOK_PRIVATE_TARGETS must be host names, IP addresses or CIDR blocks separated by commas, at most 100; "10.0.0.0/33" is not',
    ]);
  });

  describe('unknown names', () => {
    const suggestions: readonly (readonly [string, string])[] = [
      ['WARREN_PROT', 'WARREN_PORT'],
      ['WARREN_BROKER_URI', 'WARREN_BROKER_URL'],
      ['WARREN_APP_SECRT', 'WARREN_APP_SECRET'],
      ['WARREN_APP_SECRT_FILE', 'WARREN_APP_SECRET'],
      ['WARREN_LOGLEVEL', 'WARREN_LOG_LEVEL'],
      ['WARREN_DRAIN_SECONDS', 'WARREN_DRAIN_MS'],
      ['WARREN_RUNDIR', 'WARREN_RUN_DIR'],
    ];
    for (const [name, meant] of suggestions) {
      it(`suggests ${meant} for ${name}`, () => {
        const [problem] = problemsOf({ [name]: 'x' });
        expect(problem).to.match(
          new RegExp(`^${name} is not a setting; did you mean ${meant}\\?$`),
        );
      });
    }

    it('points to the documentation where nothing is near', () => {
      expect(problemsOf({ WARREN_SOMETHING_ELSE_ENTIRELY: 'x' })).to.deep.equal([
        'WARREN_SOMETHING_ELSE_ENTIRELY is not a setting; see docs/settings.md for all of them',
      ]);
    });

    it('include names that every object has', () => {
      expect(readSettings({ WARREN_constructor: 'x', WARREN___proto__: 'x' })).to.include({
        ok: false,
      });
      expect(readSettings({ WARREN_: 'x' })).to.include({ ok: false });
    });

    it('do not include what the make targets read', () => {
      const environment = Object.fromEntries(
        Object.keys(scriptSettings).map((name) => [name, '1']),
      );
      expect(readSettings(environment)).to.deep.include({ ok: true, warnings: [] });
    });

    it('do not include any name that a script in infra/ reads', () => {
      const scripts = new URL('../../infra/scripts/', import.meta.url);
      const names = readdirSync(scripts).flatMap(
        (file) =>
          readFileSync(new URL(file, scripts), 'utf8').match(/\bWARREN_[A-Z_]*[A-Z]\b/g) ?? [],
      );
      expect(names).to.include('WARREN_BROKER_URL');
      const known = [...Object.keys(settingsTable), ...Object.keys(scriptSettings)];
      expect(known).to.include.members(names.map((name) => name.replace(/_FILE$/, '')));
    });
  });

  describe('values from files', () => {
    const files = (contents: Readonly<Record<string, string>>) => (path: string) =>
      contents[path] ?? noFile(path);

    it('are read for any setting, without the final line break', () => {
      const readFile = files({
        '/run/secret': 's3cret\n',
        '/run/port': '7000\r\n',
        '/run/key': ' k \n\n',
      });
      const settings = settingsFor(
        {
          WARREN_APP_ID: 'a',
          WARREN_APP_KEY_FILE: '/run/key',
          WARREN_APP_SECRET_FILE: '/run/secret',
          WARREN_PORT_FILE: '/run/port',
        },
        readFile,
      );
      expect(settings.app).to.deep.equal({ id: 'a', key: ' k \n', secret: 's3cret' });
      expect(settings.port).to.equal(7000);
    });

    it('are checked like any other value', () => {
      const problems = problemsOf({ WARREN_PORT_FILE: '/p' }, files({ '/p': 'x\n' }));
      expect(problems).to.deep.equal([
        'WARREN_PORT must be a whole number from 0 to 65535, not "x"',
      ]);
    });

    it('must be there', () => {
      expect(problemsOf({ WARREN_BROKER_URL_FILE: '/missing' })).to.deep.equal([
        "WARREN_BROKER_URL_FILE cannot be read: ENOENT: no such file, open '/missing'",
      ]);
    });

    it('must not be empty: an empty secret protects nothing', () => {
      for (const content of ['', '\n', '\r\n']) {
        const environment = { ...app, WARREN_APP_SECRET: '', WARREN_APP_SECRET_FILE: '/s' };
        expect(problemsOf(environment, files({ '/s': content }))).to.deep.equal([
          'WARREN_APP_SECRET_FILE names an empty file',
        ]);
      }
    });

    it('cannot be given beside the value itself', () => {
      const problems = problemsOf({ ...app, WARREN_APP_SECRET_FILE: '/s' }, files({ '/s': 'x' }));
      expect(problems).to.deep.equal([
        'WARREN_APP_SECRET is set twice: WARREN_APP_SECRET and WARREN_APP_SECRET_FILE',
      ]);
    });

    it('can be given for the fallback names too', () => {
      const environment = { PUSHER_APP_ID: 'a', PUSHER_APP_KEY: 'k', PUSHER_APP_SECRET_FILE: '/s' };
      expect(settingsFor(environment, files({ '/s': 'x' })).app?.secret).to.equal('x');
    });

    it('come from the disk unless a test says otherwise', () => {
      const path = new URL('../../package.json', import.meta.url).pathname;
      const result = readSettings({ WARREN_LOG_LEVEL_FILE: path });
      expect(result.ok).to.equal(false);
      if (!result.ok) expect(result.problems[0]?.message).to.match(/^must be one of/);
    });
  });

  describe('the app', () => {
    const pusher = { PUSHER_APP_ID: 'pa', PUSHER_APP_KEY: 'pk', PUSHER_APP_SECRET: 'ps' };

    it('is taken from the PUSHER_ names where ours are not set', () => {
      expect(settingsFor(pusher).app).to.deep.equal({ id: 'pa', key: 'pk', secret: 'ps' });
      expect(settingsFor({ ...pusher, ...app }).app).to.deep.equal({
        id: 'a',
        key: 'k',
        secret: 's',
      });
      expect(settingsFor({ ...pusher, WARREN_APP_ID: '' }).app?.id).to.equal('pa');
    });

    it('needs all three parts, and the ones that are missing are named together', () => {
      expect(problemsOf({ WARREN_APP_ID: 'a' })).to.deep.equal([
        'WARREN_APP_KEY, WARREN_APP_SECRET missing: an app needs id, key and secret',
      ]);
      expect(problemsOf({ PUSHER_APP_KEY: 'k', PUSHER_APP_ID: 'a' })).to.deep.equal([
        'WARREN_APP_SECRET missing: an app needs id, key and secret',
      ]);
    });

    it('is not said to lack a part that was given in a way that failed', () => {
      const { WARREN_APP_SECRET: _, ...rest } = app;
      expect(problemsOf({ ...rest, WARREN_APP_SECRET_FILE: '/gone' })).to.have.lengthOf(1);
    });
  });

  describe('service links of Kubernetes', () => {
    const links: Environment = {
      WARREN_PORT: 'tcp://10.0.0.7:6001',
      WARREN_SERVICE_HOST: '10.0.0.7',
      WARREN_SERVICE_PORT: '6001',
      WARREN_SERVICE_PORT_HTTP: '6001',
      WARREN_PORT_6001_TCP: 'tcp://10.0.0.7:6001',
      WARREN_PORT_6001_TCP_ADDR: '10.0.0.7',
      WARREN_PORT_6001_TCP_PORT: '6001',
      WARREN_PORT_6001_TCP_PROTO: 'tcp',
      WARREN_EDGE_SERVICE_HOST: '10.0.0.8',
      WARREN_EDGE_PORT: 'tcp://10.0.0.8:6001',
      WARREN_EDGE_PORT_53_UDP: 'udp://10.0.0.8:53',
      WARREN_METRICS_PORT: 'tcp://10.0.0.9:9601',
    };

    it('are ignored, each with a warning that says how to be rid of it', () => {
      const result = readSettings(links);
      if (!result.ok) throw new Error(JSON.stringify(result.problems));
      expect(result.settings).to.include({ port: 6001, metricsPort: 9601 });
      expect(result.warnings.map(({ name }) => name)).to.have.members(Object.keys(links));
      for (const { message } of result.warnings)
        expect(message).to.include('enableServiceLinks: false');
    });

    it('are not confused with mistakes', () => {
      expect(readSettings({ WARREN_PORT: 'http://10.0.0.7:6001' }).ok).to.equal(false);
      expect(readSettings({ WARREN_SERVICE_HOSTS: 'x' }).ok).to.equal(false);
    });
  });

  it('never shows the value of a secret', () => {
    const secret = 'correct-horse';
    const results = [
      readSettings({ WARREN_BROKER_URL: `http://u:${secret}@x` }),
      readSettings({ ...app, WARREN_APP_SECRET: secret, WARREN_APP_SECRET_FILE: '/x' }),
      readSettings({ WARREN_APP_SECRET: secret }),
      readSettings({ WARREN_APP_SECRT: secret }),
      readSettings({ WARREN_SERVICE_HOST: secret }),
      readSettings({ WARREN_BROKER_URL_FILE: '/x' }, () => `${secret}\n`),
    ];
    for (const result of results) expect(JSON.stringify(result)).to.not.include(secret);
  });
});

describe('settingsTable', () => {
  it('documents every setting in whole sentences', () => {
    for (const [name, setting] of Object.entries(settingsTable)) {
      expect(name).to.match('foreign' in setting ? /^REDIS_/ : /^WARREN_[A-Z]+(_[A-Z]+)*$/);
      expect(setting.doc, name).to.match(/^[A-Z].*[.]$/s);
    }
  });

  it('marks as secret what holds credentials', () => {
    const secret = Object.entries(settingsTable).filter(([, setting]) => 'secret' in setting);
    expect(secret.map(([name]) => name)).to.deep.equal([
      'WARREN_BROKER_URL',
      'WARREN_APP_SECRET',
      'REDIS_PASSWORD',
    ]);
  });
});
