/** After a scale-up: gentle shedding over a real RabbitMQ, by which the edges know of each other. */
import { expect } from 'chai';
import type { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

describe('shedding after a scale-up', function () {
  this.timeout(60_000);
  let stage: Stage;
  afterEach(() => stage.close());

  it('sends as many to the new edge as are its share, with a code that clients answer by coming back', async () => {
    stage = await startStage(1, { settings: { shedPerSecond: 100 } });
    const connections = 60;
    const full = await Promise.all(
      Array.from({ length: connections }, () => stage.edge(0).connect()),
    );
    const idle = await stage.start();
    const back: TestClient[] = [];
    const codes = new Set<number>();
    for (const client of full) {
      void client.closed.then(async ({ code }) => {
        codes.add(code);
        back.push(await idle.connect());
      });
    }
    await eventually(() => expect(back.length).to.be.within(20, 40), 20_000);
    expect(codes).to.deep.equal(new Set([4200]));
    const moved = full.filter(({ socket }) => socket.readyState !== socket.OPEN);
    for (const { frames } of moved) expect(frames.at(-1)?.event).to.equal('warren:draining');
    // Those who stay are served, where they are and where they went.
    const stayed = full.filter(({ socket }) => socket.readyState === socket.OPEN);
    await Promise.all([...stayed, ...back].map((client) => client.roundTrip()));
  });
});
