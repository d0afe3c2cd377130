/** Every recipe of docs/cookbook.md, as it is printed there: its rules, its event, and what clients of an edge get of it. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import { loadConfig } from '../../config/load.ts';
import type { AppConfig, WarrenConfig } from '../../contracts/warren-config.ts';
import { startRouter } from '../../router/main.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { startTestEdge, type TestClient, type TestEdge } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

interface Recipe {
  readonly title: string;
  readonly config: WarrenConfig;
  readonly event: {
    readonly key: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly data: unknown;
  };
  readonly expected: readonly Expected[];
}

interface Expected {
  /** Absent where there is one app. */
  readonly app?: string;
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
}

const serverToUser = '#server-to-user-';

function readRecipes(): readonly Recipe[] {
  const page = readFileSync(new URL('../../docs/cookbook.md', import.meta.url), 'utf8');
  return page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const title = section.slice(0, section.indexOf('\n'));
      const [yaml, event, expected] = [...section.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(
        ([, text]) => text,
      );
      const loaded = loadConfig(yaml ?? '', { path: 'warren.yaml', production: false });
      if (!loaded.ok) throw new Error(`${title}: ${JSON.stringify(loaded.problems)}`);
      return {
        title,
        config: loaded.config,
        event: JSON.parse(event ?? '') as Recipe['event'],
        expected: JSON.parse(expected ?? '') as readonly Expected[],
      };
    });
}

/** Whoever should get it: subscribed, or signed in where the event is for a user. */
async function listener(edge: TestEdge, app: AppConfig, channel: string): Promise<TestClient> {
  const client = await edge.connect(`/app/${app.key}?protocol=7`);
  if (channel.startsWith(serverToUser)) {
    await client.signin(app, { id: channel.slice(serverToUser.length) });
    // As pusher-js does behind a sign-in.
    await client.subscribe(channel);
  } else {
    const member = channel.startsWith('presence-') ? '{"user_id":"1"}' : undefined;
    const isPublic = !/^(private|presence)-/.test(channel);
    await client.subscribe(channel, isPublic ? undefined : app, member);
  }
  return client;
}

describe('the cookbook', () => {
  const recipes = readRecipes();

  it('has at least ten recipes', () => expect(recipes.length).to.be.at.least(10));

  for (const { title, config, event, expected } of recipes) {
    it(title, async () => {
      const broker = createMemoryBroker({ clock: systemClock });
      const metrics = createMetrics();
      const edge = await startTestEdge({ broker, apps: config.apps });
      const log = createLog('silent');
      const settings = { routerPrefetch: 10 };
      const router = await startRouter({
        broker,
        config,
        settings,
        clock: systemClock,
        log,
        metrics,
      });
      try {
        await eventually(() => expect(router.readiness().ready).to.equal(true));
        const listeners = await Promise.all(
          expected.map(({ app, channel }) => {
            const owner = config.apps.find(({ id }) => id === app) ?? config.apps[0];
            if (owner === undefined) throw new Error('a configuration has an app');
            return listener(edge, owner, channel);
          }),
        );
        await broker.domainEvents.publish({
          routingKey: event.key,
          body: Buffer.from(JSON.stringify(event.data)),
          ...(event.headers === undefined ? {} : { headers: event.headers }),
        });
        for (const [at, { channel, event: name, data }] of expected.entries()) {
          const frame = await listeners[at]?.next(name, channel);
          expect(JSON.parse(String(frame?.data))).to.deep.equal(data);
        }
        for (const [at, { channel }] of expected.entries()) {
          const client = listeners[at];
          await client?.roundTrip();
          expect(client?.events(channel)).to.have.length(1);
        }
      } finally {
        await router.stop(1_000);
        await edge.close();
        await metrics.close();
      }
    });
  }
});
