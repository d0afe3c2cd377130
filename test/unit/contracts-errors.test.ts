import { expect } from 'chai';
import { BrokerError, type BrokerErrorCode, brokerErrors } from '../../broker/errors.ts';
import { deadLetterHeaders } from '../../contracts/dead-letter.ts';
import { deadLetterCodes, frameCodes, httpCodes } from '../../contracts/errors.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';

// Codes are a promise: programs match on them. Add to these lists freely; removing or renaming one is a breaking change
// and belongs into CHANGELOG.md.

describe('deadLetterCodes', () => {
  it('are exactly these', () => {
    expect(Object.keys(deadLetterCodes)).to.deep.equal([
      'invalid_json',
      'invalid_utf8',
      'unsupported_encoding',
      'too_large',
      'too_deep',
      'invalid_cloudevent',
      'schema_violation',
      'missing_field',
      'invalid_field',
      'invalid_segment',
      'invalid_channel',
      'invalid_event_name',
      'invalid_user',
      'invalid_socket_id',
      'unsafe_integer',
      'payload_too_large',
      'internal_error',
    ]);
  });
});

describe('deadLetterHeaders', () => {
  it('are exactly these', () => {
    expect(deadLetterHeaders).to.deep.equal({
      reason: 'x-warren-reason',
      code: 'x-warren-reason-code',
      exchange: 'x-warren-exchange',
      routingKey: 'x-warren-routing-key',
      at: 'x-warren-dead-at',
    });
  });
});

describe('httpCodes', () => {
  it('are exactly these, each with its status', () => {
    expect(
      Object.entries(httpCodes).map(([code, { status }]) => `${status} ${code}`),
    ).to.deep.equal([
      '400 bad_request',
      '401 unauthorized',
      '403 forbidden',
      '403 app_disabled',
      '404 unknown_app',
      '404 not_found',
      '405 method_not_allowed',
      '413 too_large',
      '429 rate_limited',
      '503 broker_unavailable',
      '503 cluster_incomplete',
      '503 authorizer_unavailable',
      '503 keys_unavailable',
      '500 internal_error',
    ]);
  });
});

describe('frameCodes', () => {
  it('are exactly these', () => {
    expect(Object.keys(frameCodes)).to.deep.equal([
      'invalid_frame',
      'too_deep',
      'unknown_event',
      'invalid_channel_name',
      'client_event_rejected',
      'signin_refused',
      'watchlist_limit',
    ]);
  });
});

describe('brokerErrors', () => {
  it('are exactly these, and the same call may succeed later after these', () => {
    expect(
      Object.entries(brokerErrors).map(([code, { retryable }]) => [code, retryable]),
    ).to.deep.equal([
      ['broker_unavailable', true],
      ['broker_refused', true],
      ['broker_timeout', true],
      ['broker_busy', true],
      ['broker_forbidden', false],
      ['broker_topology', false],
      ['closed', false],
    ]);
  });
});

describe('BrokerError', () => {
  it('carries its code, its cause and whether trying again can help', () => {
    const cause = new Error('ECONNRESET');
    for (const code of Object.keys(brokerErrors) as BrokerErrorCode[]) {
      const error = new BrokerError(code, 'what happened', cause);
      expect(error).to.be.instanceOf(Error);
      expect(error).to.include({
        name: 'BrokerError',
        message: 'what happened',
        code,
        cause,
        retryable: brokerErrors[code].retryable,
      });
    }
    expect(new BrokerError('closed', 'x')).to.not.have.property('cause');
  });
});

describe('every code of the catalogue', () => {
  it('is lower case with underscores and explained in a sentence', () => {
    const all: [string, string][] = [
      ...Object.entries(deadLetterCodes),
      ...Object.entries(frameCodes),
      ...Object.entries(httpCodes).map(([code, { text }]): [string, string] => [code, text]),
      ...Object.entries(brokerErrors).map(([code, { text }]): [string, string] => [code, text]),
    ];
    expect(all.length).to.be.above(30);
    for (const [code, text] of all) {
      expect(code).to.match(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
      expect(text, code).to.match(/^[A-Z].*\.$/s);
    }
  });
});

describe('closeCodes', () => {
  const codes = Object.values(closeCodes);

  it('are exactly these', () => {
    expect(Object.entries(closeCodes).map(([name, { code }]) => `${code} ${name}`)).to.deep.equal([
      '4000 sslOnly',
      '4001 unknownApp',
      '4003 appDisabled',
      '4004 connectionQuota',
      '4005 pathNotFound',
      '4006 invalidVersion',
      '4007 unsupportedProtocol',
      '4008 noProtocol',
      '4009 unauthorized',
      '4010 sessionTakenOver',
      '4100 overCapacity',
      '4200 reconnect',
      '4201 pongTimeout',
      '4202 inactive',
    ]);
  });

  it('never reach 4300: pusher-js would stay away until the page is loaded again', () => {
    for (const { code } of codes) expect(code).to.be.within(4000, 4299);
  });

  it('let clients come back exactly where the trouble can pass', () => {
    for (const passing of [
      closeCodes.overCapacity,
      closeCodes.reconnect,
      closeCodes.pongTimeout,
      closeCodes.inactive,
    ]) {
      expect(passing.code).to.be.at.least(4100);
    }
    for (const final of [
      closeCodes.unknownApp,
      closeCodes.pathNotFound,
      closeCodes.unauthorized,
      closeCodes.sessionTakenOver,
    ]) {
      expect(final.code).to.be.below(4100);
    }
  });

  it('have reasons that fit into a close frame', () => {
    for (const { reason } of codes) expect(Buffer.byteLength(reason)).to.be.within(1, 123);
  });
});
