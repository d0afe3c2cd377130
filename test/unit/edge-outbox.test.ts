import { expect } from 'chai';
import { Outbox, type RawSocket } from '../../edge/socket/outbox.ts';
import { Turn } from '../../edge/socket/turn.ts';

/** A TCP socket whose kernel takes nothing until told to. */
class StubbornSocket implements RawSocket {
  writable = true;
  writableLength = 0;
  readonly writes: Buffer[] = [];
  readonly #callbacks: (() => void)[] = [];
  accepts = false;

  write(bytes: Buffer, written?: () => void): boolean {
    this.writes.push(bytes);
    if (this.accepts) {
      if (written !== undefined) setImmediate(written);
      return true;
    }
    this.writableLength += bytes.length;
    this.#callbacks.push(() => {
      this.writableLength -= bytes.length;
      written?.();
    });
    return false;
  }

  /** The kernel takes the oldest write. */
  drainOne(): void {
    this.#callbacks.shift()?.();
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function harness(maxBytes = 1_000) {
  const socket = new StubbornSocket();
  const webSocket = { readyState: 1 };
  const events: string[] = [];
  const outbox = new Outbox(socket, webSocket, new Turn(), maxBytes, {
    taken: () => events.push('taken'),
    full: () => events.push('full'),
    free: () => events.push('free'),
  });
  return { socket, webSocket, events, outbox };
}

describe('Outbox', () => {
  it('sends everything of one turn in one write, in order', async () => {
    const { socket, outbox, events } = harness();
    for (const text of ['one,', 'two,', 'three']) outbox.push(Buffer.from(text));
    expect(socket.writes).to.deep.equal([]);
    expect(outbox.bufferedBytes).to.equal(13);
    await turn();
    expect(socket.writes.map(String)).to.deep.equal(['one,two,three']);
    expect(events).to.deep.equal(['taken']);
    outbox.push(Buffer.from('four'));
    await turn();
    expect(socket.writes.map(String)).to.deep.equal(['one,two,three', 'four']);
  });

  it('does not copy a lone frame', async () => {
    const { socket, outbox } = harness();
    const frame = Buffer.from('alone');
    outbox.push(frame);
    await turn();
    expect(socket.writes[0]).to.equal(frame);
  });

  it('can be flushed before the turn ends, and then writes nothing twice', async () => {
    const { socket, outbox } = harness();
    outbox.push(Buffer.from('a'));
    outbox.flush();
    outbox.push(Buffer.from('b'));
    await turn();
    expect(socket.writes.map(String)).to.deep.equal(['a', 'b']);
  });

  it('is full above its bound and says nothing is taken until half of it is free', async () => {
    const { socket, outbox, events } = harness(100);
    outbox.push(Buffer.alloc(60));
    await turn();
    outbox.push(Buffer.alloc(60));
    await turn();
    expect(events).to.deep.equal(['taken', 'full']);
    expect(outbox.isFull).to.equal(true);
    outbox.push(Buffer.alloc(10));
    await turn();
    expect(events).to.deep.equal(['taken', 'full']);
    socket.drainOne();
    expect(outbox.isFull, '70 of 100 bytes wait').to.equal(true);
    socket.drainOne();
    expect(events).to.deep.equal(['taken', 'full', 'free', 'taken']);
    expect(outbox.isFull).to.equal(false);
  });

  it('is not full when the kernel takes a large write at once', async () => {
    const { socket, outbox, events } = harness(100);
    socket.accepts = true;
    outbox.push(Buffer.alloc(5_000));
    await turn();
    await turn();
    expect(events).to.deep.equal(['taken']);
  });

  it('writes what waited when it becomes free before it says that all was taken', async () => {
    const { socket, outbox, events } = harness(100);
    outbox.push(Buffer.alloc(200));
    await turn();
    outbox.push(Buffer.from('waited'));
    socket.drainOne();
    expect(socket.writes.map((bytes) => bytes.length)).to.deep.equal([200, 6]);
    expect(events).to.deep.equal(['full', 'free', 'taken']);
    await turn();
    expect(socket.writes.length).to.equal(2);
  });

  it('writes nothing after a close frame or on a dead socket', async () => {
    const { socket, webSocket, outbox, events } = harness();
    outbox.push(Buffer.from('late'));
    webSocket.readyState = 2;
    await turn();
    webSocket.readyState = 1;
    socket.writable = false;
    outbox.push(Buffer.from('later'));
    await turn();
    expect(socket.writes).to.deep.equal([]);
    expect(events).to.deep.equal([]);
    expect(outbox.bufferedBytes).to.equal(0);
  });
});
