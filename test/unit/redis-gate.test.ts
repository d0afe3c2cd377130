import { expect } from 'chai';
import fc from 'fast-check';
import { Gate } from '../../broker/redis/gate.ts';
import { isLeaseName, leaseName, parseMark } from '../../broker/redis/lease.ts';
import { subscriptionPattern } from '../../broker/redis/pattern.ts';

interface Message {
  readonly n: number;
  readonly bytes: number;
}

function router(maxWaiting = 100, maxWaitingBytes = 1_000) {
  const forwarded: number[] = [];
  const overflowed: number[] = [];
  const gate = new Gate<Message>(
    {
      forward: ({ n }) => forwarded.push(n),
      overflowed: ({ n }) => overflowed.push(n),
    },
    { maxWaiting, maxWaitingBytes },
  );
  return { gate, forwarded, overflowed };
}

const message = (n: number): Message => ({ n, bytes: 10 });

describe('the gate of one router', () => {
  it('is shut until its own mark comes by', () => {
    const { gate, forwarded } = router();
    gate.message(message(1));
    gate.reset('me');
    gate.message(message(2));
    gate.mark({ kind: 'taken', token: 'other' });
    gate.message(message(3));
    gate.mark({ kind: 'taken', token: 'me' });
    gate.message(message(4));
    expect(forwarded).to.deep.equal([4]);
  });

  it('shuts at the mark of another router, and where the subscription ends', () => {
    const { gate, forwarded } = router();
    gate.reset('me');
    gate.mark({ kind: 'taken', token: 'me' });
    gate.mark({ kind: 'taken', token: 'other' });
    gate.message(message(1));
    gate.mark({ kind: 'taken', token: 'me' });
    gate.reset(undefined);
    gate.message(message(2));
    gate.mark({ kind: 'taken', token: 'me' });
    gate.message(message(3));
    expect(forwarded).to.deep.equal([]);
  });

  it('goes on where its own lease is taken anew after it ran out', () => {
    const { gate, forwarded } = router();
    gate.reset('me');
    gate.mark({ kind: 'taken', token: 'me' });
    gate.message(message(1));
    gate.mark({ kind: 'taken', token: 'me' });
    gate.message(message(2));
    expect(forwarded).to.deep.equal([1, 2]);
  });

  it('keeps what comes between two holders, within bounds, and drops the newest beyond them', () => {
    const few = router(2);
    const small = router(100, 25);
    for (const { gate, forwarded, overflowed } of [few, small]) {
      gate.reset('me');
      gate.mark({ kind: 'free', token: 'other' });
      for (const n of [1, 2, 3]) gate.message(message(n));
      expect(forwarded).to.deep.equal([]);
      gate.mark({ kind: 'taken', token: 'me' });
      expect(forwarded).to.deep.equal([1, 2]);
      expect(overflowed).to.deep.equal([3]);
    }
  });
});

describe('several gates on one order', () => {
  it('forward each message once, from the first holder on, however often it changes politely', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant('message' as const) },
      { weight: 1, arbitrary: fc.record({ taker: fc.nat(2), polite: fc.constant(true) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(5), (steps, between) => {
        const routers = [router(), router(), router()];
        for (const [index, { gate }] of routers.entries()) gate.reset(String(index));
        const all = (call: (gate: Gate<Message>) => void) => {
          for (const { gate } of routers) call(gate);
        };
        let n = 0;
        const publish = () => {
          n += 1;
          const one = message(n);
          all((gate) => gate.message(one));
        };
        let holder = 0;
        all((gate) => gate.mark({ kind: 'taken', token: '0' }));
        for (const one of steps) {
          if (one === 'message') publish();
          else {
            all((gate) => gate.mark({ kind: 'free', token: String(holder) }));
            for (let more = 0; more < between; more += 1) publish();
            holder = one.taker;
            all((gate) => gate.mark({ kind: 'taken', token: String(holder) }));
          }
        }
        const forwarded = routers.flatMap((one) => one.forwarded).sort((a, b) => a - b);
        expect(forwarded).to.deep.equal(Array.from({ length: n }, (_, index) => index + 1));
        for (const one of routers) {
          expect(one.forwarded).to.deep.equal([...one.forwarded].sort((a, b) => a - b));
        }
      }),
    );
  });
});

describe('marks and names', () => {
  it('are read strictly', () => {
    expect(parseMark('taken ab')).to.deep.equal({ kind: 'taken', token: 'ab' });
    expect(parseMark('free ab')).to.deep.equal({ kind: 'free', token: 'ab' });
    for (const text of ['', 'taken', 'taken a b', 'lost ab']) {
      expect(parseMark(text), text).to.equal(undefined);
    }
  });

  it('tell leases from channels, and work from other work', () => {
    expect(isLeaseName(Buffer.from(leaseName(['a', 'b'])))).to.equal(true);
    expect(isLeaseName(Buffer.from('chat'))).to.equal(false);
    expect(leaseName(['a', 'bc'])).to.not.equal(leaseName(['ab', 'c']));
  });

  it('take a prefix literally', () => {
    expect(subscriptionPattern('a*[b]?\\_', 'chat.*')).to.equal('a\\*\\[b\\]\\?\\\\_chat.*');
  });
});
