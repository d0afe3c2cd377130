import { expect } from 'chai';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import { Apps } from '../../edge/apps.ts';
import { readHandshake } from '../../edge/socket/handshake.ts';
import { testApp } from '../support/app.ts';

const app = (overrides: Partial<AppConfig> = {}) => testApp({ secret: 's', ...overrides });

const apps = new Apps([app()]);

function outcome(url: string, origin?: string, among = apps): number | string {
  const handshake = readHandshake(url, origin, among);
  return handshake.ok ? (handshake.value.sessionId ?? 'plain') : handshake.error.code;
}

const id = 'a'.repeat(22);

describe('readHandshake', () => {
  const table: readonly (readonly [string, number | string])[] = [
    ['/app/app-key?protocol=7&client=js&version=8.6.0&flash=false', 'plain'],
    ['/app/app-key?protocol=5', 'plain'],
    ['/ws/behind/a/proxy/app/app-key?protocol=7', 'plain'],
    ['/app/app%2Dkey?protocol=7', 'plain'],
    [`/~s/${id}/app/app-key?protocol=7`, id],
    [`/prefix/~s/${id}/app/app-key?protocol=7`, id],
    [`/~s/${'a'.repeat(128)}/app/app-key?protocol=7`, 'a'.repeat(128)],
    [`/~s/${'a'.repeat(21)}/app/app-key?protocol=7`, 4005],
    [`/~s/${'a'.repeat(129)}/app/app-key?protocol=7`, 4005],
    [`/~s/${'a'.repeat(21)}./app/app-key?protocol=7`, 4005],
    [`/~s/${'a'.repeat(21)}%41/app/app-key?protocol=7`, 4005],
    ['/~s/app/app-key?protocol=7', 4005],
    [`/~s/${id}/more/app/app-key?protocol=7`, 4005],
    ['/app/other-key?protocol=7', 4001],
    ['/app/__proto__?protocol=7', 4001],
    ['/app/?protocol=7', 4005],
    ['/app?protocol=7', 4005],
    ['/?protocol=7', 4005],
    ['', 4005],
    ['/app/%E0%A4%A?protocol=7', 4005],
    ['/apps/app-key?protocol=7', 4005],
    ['/app/app-key', 4008],
    ['/app/app-key?protocol=', 4008],
    ['/app/app-key?protocol=4', 4007],
    ['/app/app-key?protocol=8', 4007],
    ['/app/app-key?protocol=seven', 4007],
    ['/app/app-key?protocol=7.5', 4007],
    ['/app/app-key?protocol=-7', 4007],
  ];
  for (const [url, expected] of table) {
    const shown = url.length > 60 ? `${url.slice(0, 60)}… (${url.length})` : url;
    it(`answers ${String(expected).slice(0, 30)} to ${JSON.stringify(shown)}`, () => {
      expect(outcome(url)).to.equal(expected);
    });
  }

  it('checks the origin exactly: scheme, host and port', () => {
    const strict = new Apps([
      app({ allowedOrigins: ['https://Good.com', 'http://localhost:3000'] }),
    ]);
    const url = '/app/app-key?protocol=7';
    for (const origin of [
      undefined,
      'https://good.com',
      'HTTPS://GOOD.COM',
      'http://localhost:3000',
    ]) {
      expect(outcome(url, origin, strict), String(origin)).to.equal('plain');
    }
    for (const origin of [
      'https://good.com.evil',
      'https://evilgood.com',
      'https://a.good.com',
      'http://good.com',
      'https://good.com:8443',
      'http://localhost',
      'null',
      '',
      '*',
    ]) {
      expect(outcome(url, origin, strict), origin).to.equal(4009);
    }
  });

  it('answers with the retryable 4100 when the app has all the connections it may have', () => {
    const small = new Apps([app({ limits: { ...defaultLimits, connections: 1 } })]);
    const url = '/app/app-key?protocol=7';
    expect(outcome(url, undefined, small)).to.equal('plain');
    const known = small.byKey('app-key');
    if (known !== undefined) known.connections = 1;
    expect(outcome(url, undefined, small)).to.equal(4100);
  });
});
