/** The listener itself: what it costs to hold a connection and say nothing. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { fail } from '../../contracts/result.ts';
import {
  defaultServerLimits,
  type EdgeServer,
  type ServerLimits,
  startServer,
} from '../../edge/server.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createLog } from '../../runtime/log.ts';
import { eventually } from '../support/eventually.ts';

describe('edge server', () => {
  let server: EdgeServer;
  let tally: EdgeTally;
  const sockets: Socket[] = [];

  const start = async (limits: Partial<ServerLimits>) => {
    tally = new EdgeTally();
    server = await startServer({
      host: '127.0.0.1',
      port: 0,
      api: (_request, response) => response.end('ok'),
      admit: () => fail(closeCodes.unknownApp),
      accept: () => {},
      limits: { ...defaultServerLimits, ...limits },
      log: createLog('silent'),
      tally,
    });
  };
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await server.stopListening();
    server.destroy();
  });

  async function raw(): Promise<Socket> {
    const socket = connect(server.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  it('ends connections that are silent or drip their headers', async () => {
    await start({ headersTimeoutMs: 100, checkIntervalMs: 20 });
    const silent = await raw();
    const dripping = await raw();
    dripping.write('GET / HTTP/1.1\r\nHost: x\r\n');
    for (const socket of [silent, dripping]) socket.resume();
    await Promise.all([once(silent, 'close'), once(dripping, 'close')]);
  });

  it('ends a request whose body does not come', async () => {
    await start({ headersTimeoutMs: 100, requestTimeoutMs: 150, checkIntervalMs: 20 });
    const socket = await raw();
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1');
    socket.resume();
    await once(socket, 'close');
  });

  it('drops newcomers above the cap of connections that are no WebSockets, and takes them again', async () => {
    await start({ maxPendingConnections: 2 });
    const [first, second] = [await raw(), await raw()];
    for (const socket of [first, second]) {
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(socket, 'data');
    }
    const third = await raw();
    third.resume();
    await once(third, 'close');
    expect(tally.closes.get('pending_limit')).to.equal(1);
    first.destroy();
    await eventually(async () => {
      const fourth = await raw();
      fourth.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      const [data] = await Promise.race([once(fourth, 'data'), once(fourth, 'close')]);
      expect(String(data)).to.include('200 OK');
    });
  });

  it('destroys a refused socket that does not answer the close', async () => {
    await start({ closeTimeoutMs: 50 });
    const socket = await raw();
    socket.write(
      'GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    socket.resume();
    await once(socket, 'close');
    expect(tally.closes.get('4001')).to.equal(1);
  });

  it('serves one connection any number of offers to upgrade without growing', async () => {
    await start({});
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    const socket = await raw();
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    for (let times = 1; times <= 30; times += 1) {
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
      await eventually(() => expect(text.split('200 OK').length - 1).to.equal(times));
    }
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings.map(String)).to.deep.equal([]);
  });

  it('rejects when the port is taken', async () => {
    await start({});
    const failure = await startServer({
      host: '127.0.0.1',
      port: server.port,
      api: () => {},
      admit: () => fail(closeCodes.unknownApp),
      accept: () => {},
      limits: defaultServerLimits,
      log: createLog('silent'),
      tally,
    }).catch((error: NodeJS.ErrnoException) => error.code);
    expect(failure).to.equal('EADDRINUSE');
  });
});
