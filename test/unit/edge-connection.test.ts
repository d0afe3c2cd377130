import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { parseSocketId } from '../../contracts/ids.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import type { App } from '../../edge/apps.ts';
import { type Client, Connection } from '../../edge/socket/connection.ts';
import { Turn } from '../../edge/socket/turn.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock } from '../support/manual-clock.ts';

class FakeWebSocket extends EventEmitter {
  readyState = 1;
  readonly calls: string[] = [];
  pause = () => this.calls.push('pause');
  resume = () => this.calls.push('resume');
  close = (code: number) => this.calls.push(`close ${code}`);
  terminate = () => this.calls.push('terminate');
}

function harness(client: Partial<Client> = {}) {
  const webSocket = new FakeWebSocket();
  const tally = new EdgeTally();
  const closed: number[] = [];
  let ended = 0;
  const socketId = parseSocketId('1.2');
  if (socketId === undefined) throw new Error('not a socket id');
  const wire = new PassThrough();
  const connection = new Connection(
    {
      clock: createManualClock(),
      log: createLog('silent'),
      tally,
      turn: new Turn(),
      limits: {
        activityTimeoutMs: 30_000,
        pongTimeoutMs: 30_000,
        slowSocketMs: 30_000,
        socketBufferBytes: 100_000,
        closeTimeoutMs: 5_000,
      },
      client: () => ({
        frame: () => {},
        pinged: () => {},
        ponged: () => {},
        taken: () => {},
        closed: (code) => closed.push(code),
        ...client,
      }),
      ended: () => {
        ended += 1;
      },
    },
    webSocket as unknown as WebSocket,
    wire,
    { app: {} as App },
    socketId,
  );
  const receive = (text: string) => webSocket.emit('message', Buffer.from(text), false);
  const sent = () => {
    connection.outbox.flush();
    return String(wire.read() ?? '');
  };
  return { webSocket, tally, closed, connection, receive, sent, ended: () => ended };
}

const subscribe = '{"event":"pusher:subscribe","data":{"channel":"a"}}';

describe('Connection', () => {
  it('survives a bug behind it: the socket stays, and serves the next frame', () => {
    const { receive, tally, connection, sent } = harness({
      frame: () => {
        throw new Error('a bug');
      },
    });
    sent();
    expect(() => receive(subscribe)).not.to.throw();
    expect(tally.errors.get('internal_error')).to.equal(1);
    expect(connection.isOpen).to.equal(true);
    receive('{"event":"pusher:ping"}');
    expect(sent()).to.include('pusher:pong');
  });

  it('survives an error of the socket', () => {
    const { webSocket } = harness();
    expect(() => webSocket.emit('error', new Error('ECONNRESET'))).not.to.throw();
  });

  it('tells its client once that it is over, whoever closes and however often', () => {
    const { webSocket, connection, closed, ended } = harness();
    connection.close(closeCodes.reconnect);
    connection.close(closeCodes.overCapacity);
    webSocket.emit('close', 4200);
    webSocket.emit('close', 1006);
    expect(closed).to.deep.equal([4200]);
    expect(ended()).to.equal(1);
    expect(webSocket.calls.filter((call) => call.startsWith('close'))).to.deep.equal([
      'close 4200',
    ]);

    const other = harness();
    other.webSocket.emit('close', 1001);
    other.connection.close(closeCodes.reconnect);
    expect(other.closed).to.deep.equal([1001]);
    expect(other.webSocket.calls).to.deep.equal([]);
  });

  it('takes and sends nothing any more once it is closing', () => {
    const frames: string[] = [];
    const { connection, receive, sent } = harness({ frame: ({ kind }) => frames.push(kind) });
    sent();
    receive(subscribe);
    connection.close(closeCodes.reconnect);
    receive(subscribe);
    connection.send('late');
    expect(frames).to.deep.equal(['subscribe']);
    expect(sent()).to.equal('');
  });

  it('tells its client of each ping that goes out, and of each answer, in their order', () => {
    const calls: string[] = [];
    const { connection, receive, sent } = harness({
      pinged: () => calls.push('pinged'),
      ponged: () => calls.push('ponged'),
    });
    receive('{"event":"pusher:pong","data":{}}');
    expect(calls, 'nobody asked').to.deep.equal([]);
    sent();
    connection.requestPong();
    connection.requestPong();
    expect(sent().match(/pusher:ping/g)).to.have.length(2);
    receive('{"event":"pusher:pong","data":{}}');
    receive('{"event":"pusher:pong","data":{}}');
    receive('{"event":"pusher:pong","data":{}}');
    expect(calls).to.deep.equal(['pinged', 'pinged', 'ponged', 'ponged']);
  });

  it('ends one that has to answer and does not, however alive it is, and no other', () => {
    for (const mustAnswer of [true, false]) {
      const { connection, receive, closed } = harness();
      if (mustAnswer) connection.requestPong();
      else connection.sweep(30_000);
      receive('{"event":"pusher:ping"}');
      connection.sweep(29_999);
      expect(closed).to.deep.equal([]);
      connection.sweep(30_000);
      expect(closed).to.deep.equal(mustAnswer ? [4201] : []);
    }
  });
});
