/** A presence channel of 500 members over three edge processes on RabbitMQ, one of which is killed. */
import { strict as assert } from 'node:assert';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

const app = { key: 'app-key', secret: 'app-secret' };
const channel = 'presence-hall';
const memberCount = 500;
const config = `
apps:
  - id: app-id
    key: app-key
    secret: app-secret
    limits: { presenceMembers: 1000 }
`;

interface Member {
  readonly user: string;
  readonly edge: number;
  readonly client: TestClient;
}

/** What the member's page shows: the snapshot and all that came after it. Fails where somebody comes twice or goes unseen. */
function viewOf({ client, user }: Member): string[] {
  const members = new Set<string>();
  for (const { event, data } of client.frames) {
    if (event === 'pusher_internal:subscription_succeeded') {
      const { presence } = JSON.parse(String(data)) as { presence: { ids: string[] } };
      for (const id of presence.ids) members.add(id);
    } else if (event === 'pusher_internal:member_added') {
      const { user_id: id } = JSON.parse(String(data)) as { user_id: string };
      assert.ok(!members.has(id), `${user} heard twice that ${id} came`);
      members.add(id);
    } else if (event === 'pusher_internal:member_removed') {
      const { user_id: id } = JSON.parse(String(data)) as { user_id: string };
      assert.ok(members.delete(id), `${user} heard that ${id} went, who was not there`);
    }
  }
  return [...members].sort();
}

describe('presence over three edges, one of them killed', function () {
  this.timeout(120_000);
  let cluster: Cluster;
  const members: Member[] = [];

  before(async () => {
    cluster = await startCluster({ edges: 3, routers: 0, config });
  });
  after(async () => {
    for (const { client } of members) client.terminate();
    await cluster.stop();
  });

  const join = async (edge: number, user: string): Promise<Member> => {
    const client = new TestClient(
      `ws://127.0.0.1:${cluster.edges[edge]?.port}/app/app-key?protocol=7`,
      {},
    );
    await client.greeted();
    await client.subscribe(channel, app, JSON.stringify({ user_id: user, user_info: { user } }));
    return { user, edge, client };
  };
  const everybodySees = (expected: readonly string[], among: readonly Member[]) => () => {
    for (const member of among) assert.deepEqual(viewOf(member), expected);
  };
  const ledger = (of: readonly Member[]) => [...new Set(of.map(({ user }) => user))].sort();

  it('everybody sees all 500, each once, on whatever edge they are', async () => {
    const joins = Array.from({ length: memberCount }, (_, at) => join(at % 3, `user-${at}`));
    members.push(...(await Promise.all(joins)));
    // A second tab of a member whose first one is on the edge that will be killed: it must not be missed afterwards.
    members.push(await join(0, 'user-2'));
    await eventually(everybodySees(ledger(members), members), 30_000);
    assert.equal(ledger(members).length, memberCount);
  });

  it('within 15 s of a SIGKILL the survivors see exactly the members whose sockets live', async () => {
    const survivors = members.filter(({ edge }) => edge !== 2);
    const killedAt = performance.now();
    await cluster.edges[2]?.stop('SIGKILL');
    await eventually(everybodySees(ledger(survivors), survivors), 20_000);
    const seconds = (performance.now() - killedAt) / 1_000;
    assert.ok(seconds <= 15, `it took ${seconds.toFixed(1)} s`);
    assert.ok(ledger(survivors).includes('user-2'));
    members.splice(0, members.length, ...survivors);
  });

  it('those of an edge that ends in order leave at once, with its sockets', async () => {
    const survivors = members.filter(({ edge }) => edge === 0);
    const stopped = cluster.edges[1]?.stop('SIGTERM');
    await stopped;
    await eventually(everybodySees(ledger(survivors), survivors), 3_000);
  });
});
