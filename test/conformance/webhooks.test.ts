/** Webhooks: one report for the whole cluster, signed over the raw body, retried until it is taken. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import PusherServer from 'pusher';
import { webhookEventNames } from '../../contracts/pusher/webhook.ts';
import type { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

interface Received {
  readonly event: Record<string, unknown>;
  readonly isValid: boolean;
  readonly contentType: string | undefined;
}

for (const edges of [1, 3]) {
  describe(`conformance: webhooks, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(30_000);
    let stage: Stage;
    let server: Server;
    let received: Received[] = [];
    let refusals = 0;
    const sockets: TestClient[] = [];
    const sdk = new PusherServer({
      appId: 'app-id',
      key: 'app-key',
      secret: 'app-secret',
      host: '127.0.0.1',
    });

    before(async () => {
      server = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          if (refusals > 0) {
            refusals -= 1;
            response.writeHead(500).end();
            return;
          }
          const rawBody = Buffer.concat(chunks).toString();
          const webhook = sdk.webhook({
            rawBody,
            headers: request.headers as Record<string, string>,
          });
          const isValid = webhook.isValid();
          for (const event of webhook.getEvents() as unknown as Record<string, unknown>[]) {
            received.push({ event, isValid, contentType: request.headers['content-type'] });
          }
          response.end('{}');
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`;
      stage = await startStage(edges, {
        apps: [
          { clientEvents: true, webhooks: [{ url, events: webhookEventNames, batch: false }] },
        ],
      });
    });
    after(async () => {
      await stage.close();
      server.closeAllConnections();
      server.close();
    });
    beforeEach(() => {
      received = [];
    });
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.terminate();
    });
    async function raw(n: number): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      return socket;
    }
    const about = (channel: string, ...names: string[]) =>
      received
        .map(({ event }) => event)
        .filter((event) => event['channel'] === channel && names.includes(String(event['name'])));

    it('26: channel_occupied once when the first comes, channel_vacated once when the last has gone', async () => {
      const channel = `o-${edges}`;
      const [one, two] = [await raw(0), await raw(1)] as const;
      await one.subscribe(channel);
      await two.subscribe(channel);
      await eventually(() => expect(about(channel, 'channel_occupied')).to.have.length(1));
      one.terminate();
      two.send('pusher:unsubscribe', { channel });
      await eventually(() => expect(about(channel, 'channel_vacated')).to.have.length(1), 12_000);
      expect(about(channel, 'channel_occupied', 'channel_vacated')).to.deep.equal([
        { name: 'channel_occupied', channel },
        { name: 'channel_vacated', channel },
      ]);
      for (const { isValid, contentType } of received) {
        expect(isValid).to.equal(true);
        expect(contentType).to.equal('application/json');
      }
    });

    it('26: member_added and member_removed once per user, however many sockets and edges', async () => {
      const channel = `presence-m-${edges}`;
      const tabs = [await raw(0), await raw(1), await raw(2)];
      for (const tab of tabs) await tab.subscribe(channel, stage.app, '{"user_id":10}');
      await eventually(() => expect(about(channel, 'member_added')).to.have.length(1));
      for (const tab of tabs) tab.terminate();
      await eventually(() => expect(about(channel, 'channel_vacated')).to.have.length(1), 12_000);
      await eventually(() =>
        expect(about(channel, 'member_added', 'member_removed')).to.deep.equal([
          { name: 'member_added', channel, user_id: '10' },
          { name: 'member_removed', channel, user_id: '10' },
        ]),
      );
    });

    it('26: a quick return cancels the vacating', async () => {
      const channel = `r-${edges}`;
      const first = await raw(0);
      await first.subscribe(channel);
      await eventually(() => expect(about(channel, 'channel_occupied')).to.have.length(1));
      first.terminate();
      const second = await raw(1);
      await second.subscribe(channel);
      second.send('pusher:unsubscribe', { channel });
      await eventually(() => expect(about(channel, 'channel_vacated')).to.have.length(1), 12_000);
      expect(about(channel, 'channel_occupied')).to.have.length(1);
    });

    it('26: client_event, cache_miss and subscription_count', async () => {
      const channel = `presence-c-${edges}`;
      const sender = await raw(0);
      await sender.subscribe(channel, stage.app, '{"user_id":"u"}');
      sender.send('client-hi', { z: 1 }, { channel });
      await eventually(() => {
        expect(about(channel, 'client_event')).to.deep.equal([
          {
            name: 'client_event',
            channel,
            event: 'client-hi',
            data: '{"z":1}',
            socket_id: sender.socketId,
            user_id: 'u',
          },
        ]);
      });
      const empty = `cache-c-${edges}`;
      const [one, two] = [await raw(1), await raw(1)] as const;
      await one.subscribe(empty);
      await two.subscribe(empty);
      await eventually(() => {
        expect(about(empty, 'cache_miss')).to.deep.equal([{ name: 'cache_miss', channel: empty }]);
        const counts = about(empty, 'subscription_count');
        expect(counts.at(-1)).to.include({ subscription_count: 2 });
      });
    });

    it('26: a target that fails is asked again, and order is kept', async () => {
      const channel = `private-f-${edges}`;
      const sender = await raw(0);
      await sender.subscribe(channel, stage.app);
      await eventually(() => expect(about(channel, 'channel_occupied')).to.have.length(1));
      refusals = 2;
      for (const n of [1, 2, 3]) sender.send('client-n', n, { channel });
      await eventually(() => {
        expect(about(channel, 'client_event').map(({ data }) => data)).to.deep.equal([
          '1',
          '2',
          '3',
        ]);
      }, 20_000);
      expect(refusals).to.equal(0);
    });
  });
}
