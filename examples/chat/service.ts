/**
 * The chat service: it knows users, rooms and messages, publishes what happened, and has never heard of a WebSocket.
 * Signing in is a stand-in: whoever asks gets a token for the name they choose.
 */
import { randomUUID } from 'node:crypto';
import express, { type Express, type Request, type Response } from 'express';
import { jwtVerify, SignJWT } from 'jose';
import { examplePath, projectPath } from './paths.ts';
import type { EventPublisher } from './publisher.ts';

export interface ChatOptions {
  readonly publisher: Pick<EventPublisher, 'publish'>;
  /** Shared with warren.yaml. */
  readonly jwtSecret: string;
  /** Where the page finds Warren. */
  readonly warren: { readonly key: string; readonly port: number };
}

const rooms = ['lobby', 'kitchen'];
const maxTextLength = 500;
const namePattern = /^[\p{L}\p{N} _.-]{1,32}$/u;

export function createChat(options: ChatOptions): Express {
  const secret = new TextEncoder().encode(options.jwtSecret);
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json({ limit: '16kb' }));

  app.get('/healthz', (_request, response) => {
    response.json({ ok: true });
  });

  app.get('/config.json', (_request, response) => {
    response.json({ ...options.warren, rooms });
  });

  app.post('/login', async (request: Request, response: Response) => {
    const name = text(request.body, 'name');
    if (!namePattern.test(name)) {
      response.status(400).json({ error: 'a name is 1 to 32 letters, digits, spaces or _ . -' });
      return;
    }
    const token = await new SignJWT({ name, rooms })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('chat-example')
      .setAudience('warren')
      .setSubject(randomUUID())
      .setIssuedAt()
      .setExpirationTime('8h')
      .sign(secret);
    response.json({ token });
  });

  app.post('/messages', async (request: Request, response: Response) => {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    const user = await jwtVerify(token, secret, { algorithms: ['HS256'] }).catch(() => undefined);
    if (user === undefined) {
      response.status(401).json({ error: 'sign in first' });
      return;
    }
    const room = text(request.body, 'room');
    const message = text(request.body, 'text').trim();
    if (!rooms.includes(room) || message === '' || message.length > maxTextLength) {
      response
        .status(400)
        .json({ error: `say 1 to ${maxTextLength} characters in ${rooms.join(' or ')}` });
      return;
    }
    const id = randomUUID();
    const event = {
      id,
      room,
      from: String(user.payload['name']),
      text: message,
      sentAt: new Date().toISOString(),
    };
    try {
      await options.publisher.publish('chat.message.posted', event, id);
      response.status(202).json({ id });
    } catch {
      response.status(503).json({ error: 'the broker is away, try again in a moment' });
    }
  });

  const sendFile = (path: string, ...file: string[]) => {
    app.get(path, (_request, response) => {
      response.sendFile(projectPath('node_modules', ...file));
    });
  };
  sendFile('/vendor/pusher.js', 'pusher-js', 'dist', 'web', 'pusher.min.js');
  sendFile('/vendor/echo.js', 'laravel-echo', 'dist', 'echo.iife.js');
  app.use(express.static(examplePath('public')));
  return app;
}

function text(body: unknown, field: string): string {
  const value = (body as Record<string, unknown> | undefined)?.[field];
  return typeof value === 'string' ? value : '';
}
