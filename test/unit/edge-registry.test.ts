import { expect } from 'chai';
import fc from 'fast-check';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { ChannelRegistry } from '../../edge/channels/registry.ts';
import type { Session } from '../../edge/channels/session.ts';

describe('ChannelRegistry', () => {
  it('counts like a plain list of (app, channel, session), whatever the order of operations', () => {
    const sessions = Array.from({ length: 3 }, () => ({}) as Session);
    const operation = fc.record({
      add: fc.boolean(),
      app: fc.constantFrom('one', 'two'),
      channel: fc.constantFrom('a', 'b', '__proto__'),
      session: fc.nat(2),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const registry = new ChannelRegistry();
        const model = new Set<string>();
        for (const { add, app, channel, session } of operations) {
          const target = sessions[session] as Session;
          const entry = `${app} ${channel} ${session}`;
          if (add) {
            registry.add(app as AppId, channel as ChannelName, target);
            model.add(entry);
          } else {
            registry.remove(app as AppId, channel as ChannelName, target);
            model.delete(entry);
          }
        }
        const channels = new Set([...model].map((entry) => entry.replace(/ \d$/, '')));
        expect(registry.subscriptions).to.equal(model.size);
        expect(registry.channels).to.equal(channels.size);
        for (const app of ['one', 'two']) {
          for (const channel of ['a', 'b', '__proto__']) {
            const expected = [...model].filter((entry) => entry.startsWith(`${app} ${channel} `));
            expect(registry.count(app as AppId, channel as ChannelName)).to.equal(expected.length);
          }
        }
      }),
    );
  });
});
