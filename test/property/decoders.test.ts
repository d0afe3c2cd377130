import { expect } from 'chai';
import fc from 'fast-check';
import { decodeDomainEvent, type IncomingEvent } from '../../contracts/domain-event.ts';
import { deadLetterCodes, frameCodes } from '../../contracts/errors.ts';
import type { AppId, ChannelName, SocketId } from '../../contracts/ids.ts';
import { nestsDeeperThan } from '../../contracts/json-guard.ts';
import { createPublication } from '../../contracts/publication.ts';
import { decodeClientFrame } from '../../contracts/pusher/codec.ts';
import { parseBatch, parseTrigger } from '../../contracts/pusher/http.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import {
  bodyMd5,
  type SigningKey,
  signChannel,
  signHttp,
  verifyChannel,
  verifyHttp,
} from '../../contracts/pusher/signature.ts';
import { hostileBytes, hostileJson, hostileText, nearly } from '../support/arbitraries.ts';

const runs = { numRuns: 2_000 };
const anyText = fc.string({ unit: 'binary' });
const app: SigningKey = { key: 'app-key', secret: 'app-secret' };

/** A refusal that a person can use: a code of the catalogue and a short sentence. */
function expectRefusal(error: { code: string; text: string }, codes: readonly string[]): void {
  expect(codes).to.include(error.code);
  expect(error.text).to.be.a('string').and.have.length.within(1, 300);
}

describe('decodeClientFrame, whatever arrives', () => {
  const payload = nearly({
    channel: fc.constantFrom('chat', 'private-x', '#x'),
    auth: fc.constantFrom('', 'K:S'),
    channel_data: fc.constantFrom('', '{}', '{"user_id":1}'),
    user_data: fc.constantFrom('{"id":"1"}', ''),
  });
  const frame = nearly({
    event: fc.constantFrom(
      'pusher:ping',
      'pusher:pong',
      'pusher:subscribe',
      'pusher:unsubscribe',
      'pusher:signin',
      'client-x',
    ),
    channel: fc.constantFrom('chat', 'private-x'),
    data: fc.oneof(
      payload,
      payload.map((value) => JSON.stringify(value)),
    ),
  });

  it('answers with a typed frame or a typed complaint and never throws', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(hostileBytes(fc.oneof(frame, hostileJson)), (bytes) => {
        const decoded = decodeClientFrame(bytes);
        kinds.add(decoded.ok ? decoded.value.kind : decoded.error.code);
        if (!decoded.ok) expectRefusal(decoded.error, Object.keys(frameCodes));
      }),
      runs,
    );
    // Or the generator has stopped to get past the first check, and the sentence above proves little.
    expect(kinds).to.include.keys('subscribe', 'client-event', 'invalid_frame', 'too_deep');
  });
});

describe('decodeDomainEvent, whatever arrives', () => {
  const attribute = fc.constantFrom('1.0', 'x', '');
  const envelope = nearly({
    specversion: fc.constant('1.0'),
    id: fc.constant('1'),
    source: fc.constant('/x'),
    type: fc.constant('t'),
    partitionkey: attribute,
    data: hostileJson,
    data_base64: fc.base64String(),
  });
  const headerName = fc
    .tuple(
      fc.constantFrom('', 'ce-', 'cloudEvents:', 'cloudEvents_'),
      fc.constantFrom('id', 'source', 'type', 'specversion', 'traceparent', '__proto__', 'x'),
    )
    .map((parts) => parts.join(''));
  const optional = (value: fc.Arbitrary<string>) => fc.option(value, { nil: undefined });
  const incoming = fc
    .record({
      body: hostileBytes(fc.oneof(envelope, hostileJson)),
      headers: fc.dictionary(headerName, fc.oneof(attribute, hostileJson), {
        noNullPrototype: false,
      }),
      contentType: optional(
        fc.constantFrom('application/json', 'application/cloudevents+json', ''),
      ),
      contentEncoding: optional(fc.constantFrom('', 'utf-8', 'gzip')),
      messageId: optional(anyText),
      type: optional(anyText),
    })
    .map((fields): IncomingEvent => {
      const { contentType, contentEncoding, messageId, type, ...rest } = fields;
      return {
        exchange: 'domain.events',
        routingKey: 'a.b',
        redelivered: false,
        ...rest,
        ...(contentType === undefined ? {} : { contentType }),
        ...(contentEncoding === undefined ? {} : { contentEncoding }),
        ...(messageId === undefined ? {} : { messageId }),
        ...(type === undefined ? {} : { type }),
      };
    });

  it('answers with an event or a refusal and never throws', () => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(incoming, (raw) => {
        const decoded = decodeDomainEvent(raw);
        outcomes.add(decoded.ok ? 'ok' : decoded.error.code);
        if (!decoded.ok) {
          expectRefusal(decoded.error, Object.keys(deadLetterCodes));
          return;
        }
        expect(JSON.parse(decoded.value.payload)).to.deep.equal(decoded.value.data);
        expect(({} as Record<string, unknown>)['a']).to.equal(undefined);
      }),
      runs,
    );
    expect(outcomes).to.include.keys('ok', 'invalid_json', 'invalid_cloudevent', 'too_deep');
  });

  it('carries every plain JSON document on byte for byte', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'grapheme' }), (document) => {
        const decoded = decodeDomainEvent({
          exchange: 'domain.events',
          routingKey: 'a',
          headers: {},
          body: Buffer.from(document),
          redelivered: false,
        });
        expect(decoded.ok && decoded.value.payload).to.equal(document);
      }),
      runs,
    );
  });
});

const legalTrigger = fc.record({
  name: fc.constantFrom('message', 'client-x'),
  data: fc.oneof(fc.constantFrom('', 'x', '{}'), hostileJson),
  channels: fc.array(fc.constantFrom('chat', 'private-x', '#server-to-user-7'), {
    minLength: 1,
    maxLength: 4,
  }),
});
const trigger = fc.oneof(
  legalTrigger,
  nearly({
    name: fc.constantFrom('message', 'pusher:x', ''),
    data: fc.constantFrom('', 'x', '{}'),
    channel: fc.constantFrom('chat', 'private-x', 'a b'),
    channels: fc.array(fc.constantFrom('chat', 'private-x', 'a b'), { maxLength: 4 }),
    socket_id: fc.constantFrom('1.2', '1'),
  }),
);

describe('parseTrigger, whatever arrives', () => {
  it('answers with a trigger whose parts are all legal, or a refusal, and never throws', () => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(hostileBytes(fc.oneof(trigger, hostileJson)), (body) => {
        const parsed = parseTrigger(body, defaultLimits);
        outcomes.add(parsed.ok ? 'ok' : parsed.error.code);
        if (!parsed.ok) {
          expectRefusal(parsed.error, ['bad_request', 'too_large']);
          return;
        }
        const { event, data, channels } = parsed.value;
        expect(event.isWellFormed() && data.isWellFormed()).to.equal(true);
        expect(channels.length).to.be.within(1, 100);
        expect(new Set(channels.map(({ name }) => name)).size).to.equal(channels.length);
      }),
      runs,
    );
    expect(outcomes).to.include.keys('ok', 'bad_request');
  });
});

describe('parseBatch, whatever arrives', () => {
  it('answers with 1 to 10 triggers or a refusal and never throws', () => {
    const outcomes = new Set<string>();
    const batch = fc.oneof(
      fc.record({ batch: fc.array(legalTrigger, { maxLength: 12 }) }),
      nearly({ batch: fc.array(trigger, { maxLength: 12 }) }),
    );
    fc.assert(
      fc.property(hostileBytes(fc.oneof(batch, hostileJson)), (body) => {
        const parsed = parseBatch(body, defaultLimits);
        outcomes.add(parsed.ok ? 'ok' : parsed.error.code);
        if (parsed.ok) expect(parsed.value.length).to.be.within(1, 10);
        else expectRefusal(parsed.error, ['bad_request', 'too_large']);
      }),
      runs,
    );
    expect(outcomes).to.include.keys('ok', 'bad_request');
  });
});

describe('verifyHttp, whatever arrives', () => {
  const nowSeconds = 1_700_000_000;
  const request = fc.record({
    method: fc.constantFrom('GET', 'POST', 'é'),
    paths: fc.array(anyText, { maxLength: 3 }),
    query: fc
      .array(
        fc.tuple(
          fc.oneof(
            fc.constantFrom(
              'auth_key',
              'auth_timestamp',
              'auth_version',
              'auth_signature',
              'body_md5',
            ),
            anyText,
          ),
          fc.oneof(fc.constantFrom('app-key', '1.0', String(nowSeconds), 'NaN'), anyText),
        ),
      )
      .map((entries) => new Map(entries)),
    body: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    nowSeconds: fc.constantFrom(nowSeconds, nowSeconds + 0.5, 0, Number.NaN),
  });

  it('refuses with a sentence and never throws', () => {
    fc.assert(
      fc.property(request, (one) => {
        const verified = verifyHttp([app], one);
        expect(verified.ok || verified.error)
          .to.be.a('string')
          .and.not.equal('');
      }),
      runs,
    );
  });

  it('accepts what was signed, and nothing that differs from it in one place', () => {
    const parameters = fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), anyText, { maxKeys: 4 });
    fc.assert(
      fc.property(parameters, anyText, fc.uint8Array({ minLength: 1 }), (extra, path, bytes) => {
        const body = Buffer.from(bytes);
        const query = new Map([
          ...Object.entries(extra),
          ['auth_key', app.key],
          ['auth_version', '1.0'],
          ['auth_timestamp', String(nowSeconds)],
          ['body_md5', bodyMd5(body)],
        ]);
        const signature = signHttp(app.secret, 'POST', path, query);
        const good = {
          method: 'POST',
          paths: [path],
          query: new Map([...query, ['auth_signature', signature]]),
          body,
          nowSeconds,
        };
        expect(verifyHttp([app], good).ok).to.equal(true);
        expect(verifyHttp([app], { ...good, method: 'PUT' }).ok).to.equal(false);
        expect(verifyHttp([app], { ...good, paths: [`${path}/`] }).ok).to.equal(false);
        expect(verifyHttp([app], { ...good, body: Buffer.concat([body, body]) }).ok).to.equal(
          false,
        );
        for (const name of query.keys()) {
          const changed = new Map([...good.query, [name, `${query.get(name)}x`]]);
          expect(verifyHttp([app], { ...good, query: changed }).ok, name).to.equal(false);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('verifyChannel, whatever arrives', () => {
  it('accepts no auth but the one that was signed', () => {
    const socket = '1.2' as SocketId;
    fc.assert(
      fc.property(anyText, hostileText, (auth, channel) => {
        const good = signChannel(app, socket, channel);
        expect(verifyChannel([app], good, socket, channel)).to.equal(true);
        expect(verifyChannel([app], auth, socket, channel)).to.equal(auth === good);
        expect(verifyChannel([app], good + auth, socket, channel)).to.equal(auth === '');
      }),
      runs,
    );
  });
});

describe('createPublication', () => {
  it('gives the browser exactly the data, event and channel that were published', () => {
    fc.assert(
      fc.property(
        hostileText,
        hostileText,
        fc.oneof(anyText, hostileText, fc.json()),
        (channel, event, text) => {
          const data = text.toWellFormed();
          const { body, id } = createPublication({
            appId: 'app' as AppId,
            channel: channel as ChannelName,
            event,
            data,
          });
          expect(JSON.parse(body.toString('utf8'))).to.deep.equal({ event, channel, data, id });
        },
      ),
      runs,
    );
  });
});

describe('nestsDeeperThan', () => {
  it('agrees with the depth of the parsed document', () => {
    const depthOf = (value: unknown): number =>
      typeof value === 'object' && value !== null
        ? 1 + Math.max(0, ...Object.values(value).map(depthOf))
        : 0;
    fc.assert(
      fc.property(hostileJson, fc.integer({ min: 0, max: 5 }), (value, limit) => {
        const bytes = Buffer.from(JSON.stringify(value));
        expect(nestsDeeperThan(bytes, limit)).to.equal(depthOf(value) > limit);
      }),
      runs,
    );
  });
});
