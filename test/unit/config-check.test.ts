import { expect } from 'chai';
import { type CommandIo, check } from '../../cli/check.ts';

async function run(
  text: string | undefined,
  options: { readonly json?: boolean; readonly environment?: Record<string, string> } = {},
) {
  const out = { stdout: '', stderr: '' };
  const io: CommandIo = {
    stdout: (more) => {
      out.stdout += more;
    },
    stderr: (more) => {
      out.stderr += more;
    },
    readFile: (path) => {
      if (path === 'warren.yaml' && text !== undefined) return text;
      throw Object.assign(new Error(path), { code: 'ENOENT' });
    },
  };
  const code = await check(
    {
      file: 'warren.yaml',
      json: options.json ?? false,
      environment: options.environment ?? {},
    },
    io,
  );
  return { code, ...out };
}

describe('warren check', () => {
  it('says ok in one line, with what the file holds', async () => {
    const text = `apps:
  - { id: a, key: ka, secret: s }
  - { id: b, key: kb, secret: s }
events:
  - { app: a, on: x, to: y }
channels:
  - { app: b, name: 'private-{id}', allow: 'id == user.id' }
auth: { jwt: { secret: 0123456789abcdef0123456789abcdef, issuer: i, audience: warren } }
`;
    expect(await run(text)).to.deep.equal({
      code: 0,
      stdout: 'warren.yaml: ok — 2 apps, 1 event rule, 1 channel rule, JWT\n',
      stderr: '',
    });
  });

  it('counts webhooks, and apps that are turned off', async () => {
    const text = `apps:
  - { id: a, key: ka, secret: s, webhooks: [{ url: 'https://a.example' }, { url: 'https://b.example' }] }
  - { id: b, key: kb, secret: s, enabled: false, webhooks: [{ url: 'https://a.example' }] }
`;
    expect((await run(text)).stdout).to.equal(
      'warren.yaml: ok — 2 apps (1 disabled), 0 event rules, 0 channel rules, no JWT, 3 webhooks\n',
    );
  });

  it('prints every problem with place and cure, and fails', async () => {
    expect(await run('events:\n  - on: chat.*\n    when: data.a = 1\n    tos: x\n')).to.deep.equal({
      code: 1,
      stdout: '',
      stderr: `warning: warren.yaml  CONFIGURES NO APP: anyone may use the built-in app-id / app-key / app-secret. Production refuses it
warren.yaml:3:18  events[0].when is not CEL: unexpected character: =
     3 |     when: data.a = 1
       |                  ^
    cure: == compares, there is no other =
warren.yaml:4:5  events[0].tos is not a known key; did you mean "to"?
     4 |     tos: x
       |     ^

warren.yaml: 2 problems
`,
    });
  });

  it('gives problems as JSON', async () => {
    const { code, stdout, stderr } = await run('evnts: []', { json: true });
    expect([code, stderr]).to.deep.equal([1, '']);
    const report = JSON.parse(stdout) as { ok: boolean; problems: unknown[]; warnings: unknown[] };
    expect(report.ok).to.equal(false);
    expect(report.problems).to.deep.equal([
      {
        file: 'warren.yaml',
        line: 1,
        column: 1,
        path: 'evnts',
        message: 'is not a known key; did you mean "events"?',
        excerpt: '     1 | evnts: []\n       | ^',
      },
    ]);
    expect(JSON.parse((await run('', { json: true })).stdout)).to.deep.include({ ok: true });
  });

  it('fails where the file cannot be read', async () => {
    const { code, stderr } = await run(undefined);
    expect(code).to.equal(1);
    expect(stderr).to.contain('warren.yaml  cannot be read (ENOENT)');
  });

  it('takes the app of the environment, and is as strict in production as the server', async () => {
    const app = { WARREN_APP_ID: 'a', WARREN_APP_KEY: 'k', WARREN_APP_SECRET: 's' };
    expect(await run('', { environment: { ...app, NODE_ENV: 'production' } })).to.deep.include({
      code: 0,
      stderr: '',
    });
    expect((await run('', { environment: { NODE_ENV: 'production' } })).code).to.equal(1);
  });

  it('warns of settings that the server would refuse', async () => {
    const { code, stderr } = await run('', { environment: { WARREN_POTR: '1' } });
    expect(code).to.equal(0);
    expect(stderr).to.contain('WARREN_POTR').and.to.contain('warren serve refuses it');
  });
});
