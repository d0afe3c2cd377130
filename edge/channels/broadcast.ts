/** One frame to many sockets of this edge: encoded once. */
import { textFrame } from '../socket/websocket-frame.ts';
import type { Session } from './session.ts';

/** @param text JSON of one frame */
export function broadcast(sessions: Iterable<Session>, text: string): void {
  let frame: Buffer | undefined;
  for (const session of sessions) {
    frame ??= textFrame(text);
    session.connection.sendFrame(frame);
  }
}
