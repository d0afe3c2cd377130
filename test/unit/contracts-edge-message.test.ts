import { expect } from 'chai';
import fc from 'fast-check';
import {
  decodeEdgeMessage,
  type EdgeMessage,
  encodeEdgeMessage,
  maxEdgeMessageBytes,
} from '../../contracts/edge-message.ts';
import type { AppId, ChannelKey, ChannelName } from '../../contracts/ids.ts';
import { hostileBytes, hostileJson, nearly } from '../support/arbitraries.ts';

const app = 'app' as AppId;
const key = 'app.presence-room' as ChannelKey;
const room = 'presence-room' as ChannelName;

/** One of each, with every kind of value that a field may have. */
const messages: readonly EdgeMessage[] = [
  { type: 'hello', greet: true, load: [] },
  { type: 'hello', greet: false, load: [[app, 10, 3]] },
  { type: 'bye' },
  { type: 'roster-change', key, previous: 0, version: 1, user: '7', member: ['7', '{}', 1.5] },
  { type: 'roster-change', key, previous: 1, version: 2, user: '7', member: null },
  { type: 'roster-state', key, version: 2, part: 0, last: true, members: [['7', null, 1]] },
  { type: 'roster-ask', keys: [key] },
  { type: 'roster-versions', entries: [[key, 2, 1]] },
  { type: 'directory-report', fresh: true, entries: [['["user","app","7"]', 1, true, false]] },
  { type: 'directory-handover', entries: [['["user","app","7"]', 4]], hops: 3 },
  { type: 'directory-handover', entries: [['["user","app","7"]', null]], hops: 0 },
  { type: 'directory-totals', entries: [['["user","app","7"]', 4]] },
  {
    type: 'ask',
    id: 1,
    question: { about: 'channels', app, prefix: '', names: null, users: false },
  },
  {
    type: 'ask',
    id: 2,
    question: { about: 'channels', app, prefix: 'presence-', names: [room], users: true },
  },
  { type: 'ask', id: 3, question: { about: 'terminate', app, user: '7' } },
  { type: 'answer', id: 1, last: true, channels: [[room, 2, ['7']]], closed: 0 },
  { type: 'answer', id: 1, last: false, channels: [[room, 2, null]], closed: 4 },
  { type: 'session-claim', key: 'digest', at: 1 },
  { type: 'disconnect', app, user: 'auth0|42' },
];

const decodeJson = (value: unknown) => decodeEdgeMessage(Buffer.from(JSON.stringify(value)));

describe('decodeEdgeMessage', () => {
  for (const message of messages) {
    it(`reads back ${JSON.stringify(message)}`, () => {
      expect(decodeEdgeMessage(encodeEdgeMessage(message))).to.deep.equal(message);
    });
  }

  it('refuses a message of which any field is missing or of another type', () => {
    for (const message of messages) {
      for (const name of Object.keys(message)) {
        const { [name as 'type']: _, ...rest } = message;
        expect(decodeJson(rest), `${message.type} without ${name}`).to.equal(undefined);
        for (const wrong of [undefined, -1, 1.5, 2 ** 53, {}, [[]], [1], [null]]) {
          const spoilt = { ...message, [name]: wrong };
          expect(decodeJson(spoilt), JSON.stringify(spoilt)).to.equal(undefined);
        }
      }
    }
  });

  const refused = [
    'null',
    '[]',
    '"bye"',
    '{"type":"toString"}',
    '{"type":"__proto__"}',
    '{"type":["bye"]}',
    '{"type":"hello","greet":true,"load":[["app",1]]}',
    '{"type":"hello","greet":true,"load":[["app",1,1,1]]}',
    '{"type":"hello","greet":true,"load":[["",1,1]]}',
    '{"type":"roster-versions","entries":[["",1,1]]}',
    '{"type":"directory-report","fresh":true,"entries":[["k",1,1,true]]}',
    '{"type":"ask","id":1,"question":null}',
    '{"type":"ask","id":1,"question":{"about":"reboot","app":"a","user":"b"}}',
    '{"type":"ask","id":1,"question":{"about":"terminate","app":"a"}}',
    '{"type":"answer","id":1,"last":true,"channels":[["c",1,[7]]],"closed":0}',
    '{"type":"bye"',
    '',
  ];
  for (const text of refused) {
    it(`refuses ${text === '' ? 'nothing' : text}`, () => {
      expect(decodeEdgeMessage(Buffer.from(text))).to.equal(undefined);
    });
  }

  it('refuses what nests deeper than any message', () => {
    const deep = `{"type":"bye","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(decodeEdgeMessage(Buffer.from(deep))).to.equal(undefined);
  });

  it('takes a message up to the limit and none above it', () => {
    const padded = (bytes: number) => Buffer.from('{"type":"bye"}'.padEnd(bytes, ' '));
    expect(decodeEdgeMessage(padded(maxEdgeMessageBytes))).to.deep.equal({ type: 'bye' });
    expect(decodeEdgeMessage(padded(maxEdgeMessageBytes + 1))).to.equal(undefined);
  });

  it('answers with a message of the right types or with nothing, whatever arrives', () => {
    const types = new Set<string>();
    const number = fc.oneof(fc.nat(), fc.constantFrom(-1, 1.5));
    const any = nearly({
      type: fc.constantFrom(...messages.map(({ type }) => type)),
      greet: fc.boolean(),
      load: fc.array(fc.tuple(fc.constantFrom('a', ''), number, number), { maxLength: 2 }),
      key: fc.constantFrom('a.b', ''),
      keys: fc.array(fc.constantFrom('a.b', ''), { maxLength: 2 }),
      entries: fc.array(fc.tuple(fc.constant('k'), number), { maxLength: 2 }),
      hops: number,
      id: number,
      at: number,
    });
    fc.assert(
      fc.property(hostileBytes(fc.oneof(any, hostileJson)), (bytes) => {
        const message = decodeEdgeMessage(bytes);
        if (message === undefined) return;
        types.add(message.type);
        if (message.type === 'hello') {
          expect(message.greet).to.be.a('boolean');
          for (const [of, connections, events] of message.load) {
            expect(of).to.be.a('string').and.not.equal('');
            expect(connections).to.be.at.least(0);
            expect(events).to.be.at.least(0);
          }
        }
        if (message.type === 'directory-totals') {
          for (const [, total] of message.entries)
            expect(Number.isSafeInteger(total)).to.equal(true);
        }
      }),
      { numRuns: 3_000 },
    );
    // Or the generator has stopped to get past the first check.
    expect([...types]).to.include.members(['hello', 'bye', 'directory-totals']);
  });
});
