import { expect } from 'chai';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { formatProblem, type Problem } from '../../config/problems.ts';
import { webhookEventNames } from '../../contracts/pusher/webhook.ts';

const load = (text: string, options: Partial<LoadOptions> = {}) =>
  loadConfig(text, { path: 'warren.yaml', production: false, ...options });

function problemsOf(text: string, options: Partial<LoadOptions> = {}): readonly Problem[] {
  const result = load(text, options);
  return result.ok ? [] : result.problems;
}

const told = (problems: readonly Problem[]) =>
  problems.map((problem) => `${problem.path} ${problem.message}`);

const app = (keys: string) => `apps: [{ id: a, key: k, secret: s, ${keys} }]`;

describe('the options of an app', () => {
  it('have defaults', () => {
    const result = load(app(''));
    expect(result.ok && result.config.apps[0]).to.deep.include({
      enabled: true,
      clientEvents: false,
      subscriptionCount: false,
      authorizationTimeoutMs: 0,
      webhooks: [],
    });
  });

  it('are read', () => {
    const result = load(`
apps:
  - id: a
    key: k
    secret: s
    enabled: false
    clientEvents: true
    subscriptionCount: true
    authorizationTimeoutMs: 1000
    limits: { clientEventsPerSecond: 5, presenceMembers: 7, cacheSeconds: 60, apiEventsPerSecond: 9 }
    webhooks:
      - { url: 'https://example.com', events: [member_added], batch: true }
      - { url: 'http://127.0.0.1:9000/hooks?a=b' }
`);
    const read = result.ok ? result.config.apps[0] : undefined;
    expect(read).to.deep.include({
      enabled: false,
      clientEvents: true,
      subscriptionCount: true,
      authorizationTimeoutMs: 1000,
      webhooks: [
        { url: 'https://example.com/', events: ['member_added'], batch: true },
        { url: 'http://127.0.0.1:9000/hooks?a=b', events: webhookEventNames, batch: false },
      ],
    });
    expect(read?.limits).to.include({
      clientEventsPerSecond: 5,
      presenceMembers: 7,
      cacheSeconds: 60,
      apiEventsPerSecond: 9,
      watchlistUsers: 100,
    });
  });

  it('are true or false where they are switches', () => {
    expect(told(problemsOf(app('enabled: "yes", clientEvents: 1')))).to.deep.equal([
      'apps[0].enabled must be true or false, not text',
      'apps[0].clientEvents must be true or false, not a number',
    ]);
  });

  it('tell a misspelt one, and one that stands at the root', () => {
    expect(told(problemsOf(app('clientEvent: true, limits: { presenceMember: 3 }')))).to.deep.equal(
      [
        'apps[0].clientEvent is not a known key; did you mean "clientEvents"?',
        'apps[0].limits.presenceMember is not a known key; did you mean "presenceMembers"?',
      ],
    );
    expect(told(problemsOf('webhooks: []\nclientEvents: true'))).to.deep.equal([
      'webhooks belongs under an app: apps[].webhooks',
      'clientEvents belongs under an app: apps[].clientEvents',
    ]);
  });

  it('take 0 or 1000 to 3600000 ms for the time-out of authorization', () => {
    for (const good of [0, 1_000, 3_600_000]) {
      expect(problemsOf(app(`authorizationTimeoutMs: ${good}`)), String(good)).to.deep.equal([]);
    }
    for (const bad of [-1, 1, 999, 3_600_001]) {
      expect(told(problemsOf(app(`authorizationTimeoutMs: ${bad}`)))).to.deep.equal([
        `apps[0].authorizationTimeoutMs must be 0, for never, or from 1000 to 3600000, not ${bad}`,
      ]);
    }
    expect(problemsOf(app('authorizationTimeoutMs: "30"'))).to.have.length(1);
  });

  it('warn of a client event that no frame can hold', () => {
    const result = load(app('limits: { clientEventBytes: 2048, clientFrameBytes: 2048 }'));
    expect(result.ok).to.equal(true);
    expect(told(result.warnings)[0]).to.match(/clientEventBytes of 2048 can never be reached/);
    expect(
      load(app('limits: { clientEventBytes: 2047, clientFrameBytes: 2048 }')).warnings,
    ).to.deep.equal([]);
  });
});

describe('webhooks', () => {
  const webhooks = (list: string) => problemsOf(app(`webhooks: ${list}`));

  it('want a whole http or https URL, without credentials and fragment', () => {
    const text = [
      'ftp://a.example/',
      'a.example/hooks',
      'https:a.example',
      'https://',
      'https://a.example:99999/',
      'https://a example/',
      'https://user@a.example/',
      'https://:password@a.example/',
      'https://a.example/#part',
      'https://a.example/#',
    ];
    const found = webhooks(`[${text.map((url) => `{ url: '${url}' }`).join(', ')}]`);
    expect(found.map((problem) => problem.message)).to.deep.equal([
      'has the scheme ftp:, and only http and https are spoken',
      'is not a URL',
      'is not a URL',
      'is not a URL',
      'is not a URL',
      'holds a space',
      'holds credentials, which are not sent',
      'holds credentials, which are not sent',
      'holds a fragment, which is never sent',
      'holds a fragment, which is never sent',
    ]);
    for (const problem of found) expect(problem.cure).to.match(/^(write|remove)/);
  });

  it('tell where the mistake is without showing credentials', () => {
    const [problem] = problemsOf(`apps:
  - id: a
    key: k
    secret: s
    webhooks: [{ url: 'https://user:hunter2@a.example/' }]`);
    expect(problem?.path).to.equal('apps[0].webhooks[0].url');
    const text = problem === undefined ? '' : formatProblem(problem);
    expect(text).to.contain('https://***@a.example').and.not.contain('hunter2');
  });

  it('are refused where two have the same URL, however it is written', () => {
    const found = webhooks("[{ url: 'https://a.example' }, { url: 'https://A.example:443/' }]");
    expect(told(found)).to.deep.equal([
      'apps[0].webhooks[1].url is the url of webhooks[0] already',
    ]);
    const two = `apps:
  - { id: a, key: k, secret: s, webhooks: [{ url: 'https://a.example' }] }
  - { id: b, key: l, secret: s, webhooks: [{ url: 'https://a.example' }] }`;
    expect(problemsOf(two)).to.deep.equal([]);
  });

  it('name events that there are, each once', () => {
    expect(
      told(
        webhooks(
          "[{ url: 'https://a.example', events: [member_add, member_removed, member_removed] }, { url: 'https://b.example', events: [] }]",
        ),
      ),
    ).to.deep.equal([
      'apps[0].webhooks[0].events[0] "member_add" is not known here; did you mean "member_added"?',
      'apps[0].webhooks[0].events[2] "member_removed" is given twice',
      'apps[0].webhooks[1].events is an empty list',
    ]);
    expect(told(webhooks("[{ url: 'https://a.example', events: [everything] }]"))[0]).to.contain(
      'there is "channel_occupied", "channel_vacated"',
    );
  });

  it('are ten at most, each with a URL of 2,048 characters at most', () => {
    const list = (count: number) =>
      `[${Array.from({ length: count }, (_, at) => `{ url: 'https://a.example/${at}' }`).join(', ')}]`;
    expect(webhooks(list(10))).to.deep.equal([]);
    expect(told(webhooks(list(11)))).to.deep.equal(['apps[0].webhooks has more than 10 entries']);
    const url = (length: number) => `[{ url: 'https://a.example/${'x'.repeat(length - 18)}' }]`;
    expect(webhooks(url(2048))).to.deep.equal([]);
    expect(told(webhooks(url(2049)))).to.deep.equal([
      'apps[0].webhooks[0].url is longer than 2048 characters',
    ]);
  });

  it('say what is missing or of another type', () => {
    expect(told(webhooks('[{ events: [cache_miss] }, x, { url: 5, batch: 1 }]'))).to.deep.equal([
      'apps[0].webhooks[0] has no "url"',
      'apps[0].webhooks[1] must be a map of keys, not text',
      'apps[0].webhooks[2].url must be text, not a number',
      'apps[0].webhooks[2].batch must be true or false, not a number',
    ]);
    expect(told(webhooks("'https://a.example'"))).to.deep.equal([
      'apps[0].webhooks must be a list, not text',
    ]);
  });
});

describe('presenceGraceMs', () => {
  const rule = (keys: string) => problemsOf(`channels: [{ ${keys} }]`);

  it('makes a rule of its own, or stands beside allow', () => {
    const result = load(`channels:
  - { name: 'presence-a.{x}', presenceGraceMs: 5000 }
  - { name: 'presence-{x}', presenceGraceMs: 0, allow: 'true' }`);
    expect(result.ok && result.config.channels).to.deep.equal([
      { index: 0, app: 'app-id', name: 'presence-a.{x}', presenceGraceMs: 5000 },
      { index: 1, app: 'app-id', name: 'presence-{x}', allow: 'true', presenceGraceMs: 0 },
    ]);
  });

  it('does not make the server ask for a JWT', () => {
    const warnings = (keys: string) =>
      told(load(`channels: [{ name: 'presence-x', ${keys} }]`).warnings).join('\n');
    expect(warnings('presenceGraceMs: 1')).to.not.contain('auth.jwt');
    expect(warnings("allow: 'true'")).to.contain('auth.jwt');
  });

  it('stands on names of presence channels only', () => {
    for (const name of ['private-{x}', 'private-presence-x', 'private-cache-{x}']) {
      const found = rule(`name: '${name}', presenceGraceMs: 5`);
      expect(told(found), name).to.deep.equal([
        'channels[0].presenceGraceMs is for presence channels, and this name is of private ones',
      ]);
      expect(found[0]?.cure).to.contain('presence-');
    }
    expect(rule("name: 'presence-cache-{x}', presenceGraceMs: 5")).to.deep.equal([]);
  });

  it('is a minute at most', () => {
    expect(rule("name: 'presence-x', presenceGraceMs: 60000")).to.deep.equal([]);
    expect(told(rule("name: 'presence-x', presenceGraceMs: 60001"))).to.deep.equal([
      'channels[0].presenceGraceMs must be from 0 to 60000, not 60001',
    ]);
  });

  it('leaves a rule that sets nothing refused, with the cure, and told once', () => {
    const found = rule("name: 'private-x'");
    expect(told(found)).to.deep.equal([
      'channels[0] has none of "allow", "authorizer", "presenceGraceMs" and "delivery", so it sets nothing',
    ]);
    expect(found[0]?.cure).to.contain("allow: 'room in claims.rooms'");
    expect(told(rule("name: 'private-x', alow: 'true'"))).to.deep.equal([
      'channels[0].alow is not a known key; did you mean "allow"?',
    ]);
  });
});

describe('delivery', () => {
  const rule = (keys: string) => problemsOf(`channels: [{ ${keys} }]`);

  it('makes a rule of its own, for public channels too, or stands beside the others', () => {
    const result = load(`channels:
  - { name: 'ticker.{x}', delivery: edge }
  - { name: 'private-{x}', delivery: session, allow: 'true' }
  - { name: 'presence-{x}', delivery: auto, presenceGraceMs: 1 }`);
    expect(result.ok && result.config.channels).to.deep.equal([
      { index: 0, app: 'app-id', name: 'ticker.{x}', delivery: 'edge' },
      { index: 1, app: 'app-id', name: 'private-{x}', allow: 'true', delivery: 'session' },
      { index: 2, app: 'app-id', name: 'presence-{x}', presenceGraceMs: 1, delivery: 'auto' },
    ]);
  });

  it('is one of three words', () => {
    expect(told(rule("name: 'x', delivery: egde"))).to.deep.equal([
      'channels[0].delivery "egde" is not known here; did you mean "edge"?',
    ]);
    expect(told(rule("name: 'x', delivery: 1"))).to.deep.equal([
      'channels[0].delivery must be text, not a number',
    ]);
    expect(told(rule("name: 'private-x', delivry: edge"))).to.deep.equal([
      'channels[0].delivry is not a known key; did you mean "delivery"?',
    ]);
  });

  it('lets no condition stand on a public channel, where nobody would ask it', () => {
    const [problem] = rule("name: 'ticker.{x}', delivery: edge, allow: 'true'");
    expect(problem?.message).to.contain('is a public channel');
    expect(told(rule("name: 'ticker.{x}', delivery: edge, presenceGraceMs: 5"))).to.deep.equal([
      'channels[0].presenceGraceMs is for presence channels, and this name is of public ones',
    ]);
  });

  it('hides no rule for private channels behind one for public channels', () => {
    const found = rule(
      "name: '{kind}-{x}', delivery: edge }, { name: 'private-{x}', allow: 'true'",
    );
    expect(told(found)).to.deep.equal([]);
    const hidden = rule("name: '{a}', delivery: edge }, { name: 'ticker-{x}', delivery: auto");
    expect(told(hidden).join()).to.contain('channels[1].name is never asked');
  });
});

describe('keepsListedApps', () => {
  it('refuses a file without apps only where the built-in one would stand in', () => {
    const kept = { keepsListedApps: true };
    const [problem] = problemsOf('', kept);
    expect(problem?.message).to.contain('lists no app any more');
    expect(problem?.cure).to.contain('enabled: false');
    expect(problemsOf(app(''), kept)).to.deep.equal([]);
    const fallbackApp = { id: 'env', key: 'k', secret: 's' };
    expect(problemsOf('', { ...kept, fallbackApp })).to.deep.equal([]);
  });
});
