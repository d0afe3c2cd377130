/**
 * WebSocket frames as a server sends them (RFC 6455 §5.2): final, unmasked, uncompressed. Built once per message, so that the
 * same bytes can go to any number of sockets.
 */

const finalText = 0x81;
const finalPong = 0x8a;

/** Header and payload of a text message in one buffer. */
export function textFrame(payload: Buffer | string): Buffer {
  if (typeof payload !== 'string') {
    const start = headerBytes(payload.length);
    const frame = Buffer.allocUnsafe(start + payload.length);
    writeHeader(frame, finalText, payload.length);
    payload.copy(frame, start);
    return frame;
  }
  const length = Buffer.byteLength(payload, 'utf8');
  const start = headerBytes(length);
  const frame = Buffer.allocUnsafe(start + length);
  writeHeader(frame, finalText, length);
  frame.write(payload, start, 'utf8');
  return frame;
}

/** The answer to a WebSocket ping, which carries its payload (at most 125 bytes, as the receiver has checked). */
export function pongFrame(payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(2 + payload.length);
  writeHeader(frame, finalPong, payload.length);
  payload.copy(frame, 2);
  return frame;
}

function headerBytes(length: number): number {
  if (length < 126) return 2;
  return length < 65_536 ? 4 : 10;
}

function writeHeader(frame: Buffer, first: number, length: number): void {
  frame[0] = first;
  if (length < 126) {
    frame[1] = length;
  } else if (length < 65_536) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length % 2 ** 32, 6);
  }
}
