/** What a client that comes back to a channel, or is still on its way into it, is told of a revocation that is there already. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { ChannelName } from '../../contracts/ids.ts';
import { createRevocation } from '../../contracts/publication.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { startTestEdge, type TestEdge } from '../support/edge.ts';

const errorEvent = 'pusher:subscription_error';

describe('an edge that meets a revocation before the success', () => {
  let edge: TestEdge;
  before(async () => {
    edge = await startTestEdge({ apps: [{ subscriptionCount: true }] });
  });
  after(() => edge.close());

  const publish = async (channel: string, data: string) =>
    expect((await edge.post('/apps/app-id/events', { name: 'n', channel, data })).status).to.equal(
      200,
    );
  const revoke = (user: string, channel: string) =>
    edge.broker.channelPublisher.publish(
      createRevocation({ appId: edge.app.id, channel: channel as ChannelName, user }),
    );

  it('refuses the channel: no success, no replay of what was published since, nobody told of a member', async () => {
    const path = `/~s/${randomBytes(16).toString('base64url')}/app/app-key?protocol=7`;
    const channel = 'presence-cache-room';
    const ann = await edge.connect();
    await ann.subscribe(channel, edge.app, '{"user_id":"ann"}');
    const gone = await edge.connect(path);
    await gone.subscribe(channel, edge.app, '{"user_id":"bob"}');
    await gone.roundTrip();
    gone.terminate();
    await ann.next('pusher_internal:member_removed', channel);
    await revoke('bob', channel);
    await publish(channel, 'secret');
    await ann.next('n', channel);
    const bob = await edge.connect(path);
    await bob.next('warren:session');
    // What is parked has come by the time that something published later has.
    await ann.roundTrip();
    const channelData = '{"user_id":"bob"}';
    const auth = signChannel(edge.app, bob.socketId, channel, channelData);
    bob.send('pusher:subscribe', { channel, auth, channel_data: channelData });
    const { data } = await bob.next(errorEvent, channel);
    expect(data).to.include({ type: 'AuthError', status: 403 });
    await bob.roundTrip();
    expect(bob.frames.filter((frame) => frame.channel === channel)).to.have.length(1);
    await ann.roundTrip();
    const joins = ann.frames.filter(({ event }) => event === 'pusher_internal:member_added');
    // The one of the connection that was parked.
    expect(joins).to.have.length(1);
  });

  it('leaves nothing behind of who was taken off: no member, no subscription, no binding', async () => {
    const channel = 'presence-room';
    const bob = await edge.connect();
    const held = edge.held();
    const subscriptions = await edge.metric('warren_subscriptions');
    await bob.subscribe(channel, edge.app, '{"user_id":"bob"}');
    await revoke('bob', channel);
    await bob.next(errorEvent, channel);
    expect(await edge.metric('warren_subscriptions')).to.equal(subscriptions);
    const answer = await edge.get(`/apps/app-id/channels/${channel}`, { info: 'user_count' });
    expect(await answer.json()).to.deep.equal({ occupied: false, user_count: 0 });
    expect(edge.held().bindings).to.equal(held.bindings);
    bob.terminate();
  });

  it('does not take a client’s frames or an HTTP event for one', async () => {
    const channel = 'private-room';
    const bob = await edge.connect();
    await bob.signin(edge.app, { id: 'bob' });
    await bob.subscribe(channel, edge.app);
    for (const name of ['x-revokes', 'pusher:revoked', '']) {
      const body = { name, channel, data: '', 'x-revokes': 'bob', revokes: 'bob' };
      await edge.post('/apps/app-id/events', body);
    }
    bob.send('client-x-revokes', '', { channel, revokes: 'bob', 'x-revokes': 'bob' });
    await publish(channel, 'still here');
    await bob.next('n', channel);
    bob.terminate();
  });
});
