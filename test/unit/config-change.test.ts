import { expect } from 'chai';
import { partsForRestart, summarizeApps } from '../../cli/config-change.ts';
import { loadConfig } from '../../config/load.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';

function config(text: string): WarrenConfig {
  const result = loadConfig(text, { path: 'warren.yaml', production: false });
  if (result.ok) return result.config;
  throw new Error(JSON.stringify(result.problems));
}

const base = `
apps:
  - { id: a, key: ka, secret: s }
  - { id: b, key: kb, secret: s }
events: [{ app: a, on: x, to: y }]
channels: [{ app: a, name: 'private-{x}', allow: 'true' }]
auth: { jwt: { secret: 0123456789abcdef0123456789abcdef } }
ingress: { queues: [outbox] }
`;
const started = config(base);
const changed = (from: string, to: string) => {
  expect(base).to.contain(from);
  return config(base.replace(from, to));
};

describe('partsForRestart', () => {
  const limits = 'limits of apps, as events are checked against them';
  const cases = [
    ['nothing', '', '', [], [], []],
    ['an app', 'secret: s }', 'secret: t }', [], ['apps'], []],
    ['a limit', 'key: ka,', 'key: ka, limits: { eventPayloadBytes: 9 },', [], ['apps'], [limits]],
    [
      'a limit that no event meets',
      'key: kb,',
      'key: kb, limits: { eventPayloadBytes: 9 },',
      [],
      ['apps'],
      [],
    ],
    ['an event rule', 'on: x', 'on: z', [], [], ['events']],
    ['a source of events', 'outbox', 'inbox', [], [], ['ingress.exchanges and ingress.queues']],
    ['a channel rule', "'true'", "'false'", [], ['channels'], []],
    ['the secret of JWTs', '0123', '4567', ['auth'], ['auth'], []],
    ['what services hear', 'auth:', 'egress: { presence: true }\nauth:', [], ['egress'], []],
  ] as const;
  for (const [what, from, to, edge, oldEdge, oldRouter] of cases) {
    it(`names for ${what}: ${[...edge, ...oldRouter].join(', ') || 'none'}`, () => {
      const next = changed(from, to);
      expect(partsForRestart('edge', true, started, next)).to.deep.equal(edge);
      expect(partsForRestart('edge', false, started, next)).to.deep.equal(oldEdge);
      expect(partsForRestart('router', true, started, next)).to.deep.equal([]);
      expect(partsForRestart('router', false, started, next)).to.deep.equal(oldRouter);
    });
  }
});

describe('summarizeApps', () => {
  it('names apps by what became of them, and leaves out what is empty', () => {
    const before = config(`apps:
  - { id: same, key: a, secret: s }
  - { id: gone, key: b, secret: s }
  - { id: off, key: c, secret: s }
  - { id: on, key: d, secret: s, enabled: false }
  - { id: other, key: e, secret: s }`);
    const after = config(`apps:
  - { id: other, key: e, secret: t }
  - { id: on, key: d, secret: s }
  - { id: off, key: c2, secret: s, enabled: false }
  - { id: same, key: a, secret: s }
  - { id: new, key: b, secret: s }`);
    expect(summarizeApps(before.apps, after.apps)).to.deep.equal({
      added: ['new'],
      removed: ['gone'],
      disabled: ['off'],
      changed: ['other', 'on'],
    });
    expect(summarizeApps(before.apps, before.apps)).to.deep.equal({});
  });

  it('names twenty of each at most', () => {
    const many = Array.from(
      { length: 30 },
      (_, at) => `  - { id: a${at}, key: k${at}, secret: s }`,
    );
    const { apps } = config(`apps:\n${many.join('\n')}`);
    expect(summarizeApps([], apps).added).to.have.length(20);
    expect(summarizeApps(apps, []).removed).to.have.length(20);
  });
});
