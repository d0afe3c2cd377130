import { expect } from 'chai';
import {
  decodeQueuedWebhook,
  encodeQueuedWebhook,
  type QueuedWebhook,
  type WebhookEvent,
  webhookBody,
  webhookEventNames,
} from '../../contracts/pusher/webhook.ts';

const events: readonly WebhookEvent[] = [
  { name: 'channel_occupied', channel: 'room' },
  { name: 'channel_vacated', channel: 'room' },
  { name: 'cache_miss', channel: 'cache-room' },
  { name: 'member_added', channel: 'presence-room', user_id: '7' },
  { name: 'member_removed', channel: 'presence-room', user_id: 'ünï"7' },
  { name: 'subscription_count', channel: 'room', subscription_count: 0 },
  {
    name: 'client_event',
    channel: 'private-a',
    event: 'client-hi',
    data: '{"z":1}',
    socket_id: '1.2',
  },
  {
    name: 'client_event',
    channel: 'presence-a',
    event: 'client-hi',
    data: '',
    socket_id: '1.2',
    user_id: '7',
  },
];

const report = (event: WebhookEvent): QueuedWebhook => ({
  id: 'edge.1',
  app: 'app-id',
  target: 'https://example.com',
  timeMs: 1_327_078_148_132,
  event,
});

describe('webhookBody', () => {
  it('is the body that Pusher documents', () => {
    const body = webhookBody(1_327_078_148_132, [{ name: 'channel_occupied', channel: 'test' }]);
    expect(body.toString('utf8')).to.equal(
      '{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"test"}]}',
    );
  });
});

describe('a queued webhook', () => {
  for (const event of events) {
    it(`comes back as it was put in: ${JSON.stringify(event)}`, () => {
      const decoded = decodeQueuedWebhook(encodeQueuedWebhook(report(event)));
      expect(decoded).to.deep.equal({ ok: true, value: report(event) });
    });
  }

  it('is covered here for every event name that there is', () => {
    expect(new Set(events.map(({ name }) => name))).to.deep.equal(new Set(webhookEventNames));
  });

  it('carries the fields of the protocol alone, whatever else was put into the queue', () => {
    const event = { name: 'cache_miss', channel: 'cache-a', user_id: '7', extra: {} };
    const body = Buffer.from(JSON.stringify({ ...report(event as never), more: 1 }));
    const decoded = decodeQueuedWebhook(body);
    expect(decoded).to.deep.equal({
      ok: true,
      value: report({ name: 'cache_miss', channel: 'cache-a' }),
    });
  });

  const good = report({ name: 'cache_miss', channel: 'cache-a' });
  const bad: readonly (readonly [string, unknown, string])[] = [
    ['no object', 'text', 'the report is no JSON object'],
    ['a list', [], 'the report is no JSON object'],
    ['no id', { ...good, id: undefined }, 'the report has no id'],
    ['an empty id', { ...good, id: '' }, 'the report has no id'],
    ['no app', { ...good, app: 3 }, 'the report names no app'],
    ['no target', { ...good, target: null }, 'the report names no target'],
    ['a time that is no time', { ...good, timeMs: -1 }, 'the report has no time'],
    ['no event', { ...good, event: 'cache_miss' }, 'the report holds no webhook event'],
    ['an unknown event', eventIs({ name: 'made_up' }), 'the report holds no webhook event'],
    [
      'a name from the prototype',
      eventIs({ name: 'toString' }),
      'the report holds no webhook event',
    ],
    ['no channel', eventIs({ channel: 1 }), 'the report holds no webhook event'],
    [
      'a member without user',
      eventIs({ name: 'member_added' }),
      'the report holds no webhook event',
    ],
    [
      'a user id that is no text',
      eventIs({ name: 'member_added', user_id: 7 }),
      'the report holds no webhook event',
    ],
    [
      'half a count',
      eventIs({ name: 'subscription_count', subscription_count: 0.5 }),
      'the report holds no webhook event',
    ],
    [
      'a client event without data',
      eventIs({ name: 'client_event', event: 'client-a', socket_id: '1.2' }),
      'the report holds no webhook event',
    ],
    [
      'a client event with a bad user',
      eventIs({ name: 'client_event', event: 'client-a', data: '', socket_id: '1.2', user_id: 7 }),
      'the report holds no webhook event',
    ],
  ];

  function eventIs(fields: object): unknown {
    return { ...good, event: { ...good.event, ...fields } };
  }

  for (const [what, value, error] of bad) {
    it(`is refused with ${what}`, () => {
      const decoded = decodeQueuedWebhook(Buffer.from(JSON.stringify(value)));
      expect(decoded).to.deep.equal({ ok: false, error });
    });
  }

  it('is refused where it is no JSON, or nests without end', () => {
    const none = { ok: false, error: 'the report is no JSON object' };
    expect(decodeQueuedWebhook(Buffer.from('{"id":'))).to.deep.equal(none);
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(decodeQueuedWebhook(Buffer.from(deep))).to.deep.equal(none);
  });
});
