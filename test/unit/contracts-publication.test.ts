import { expect } from 'chai';
import type { AppId, ChannelName, SocketId } from '../../contracts/ids.ts';
import {
  createPublication,
  type PublicationInput,
  publicationHeaders,
} from '../../contracts/publication.ts';
import { socketOf, socketTarget } from '../../contracts/socket-target.ts';

const input: PublicationInput = {
  appId: 'app-id' as AppId,
  channel: 'private-chat.42' as ChannelName,
  event: 'message.posted',
  data: '{"text":"hi"}',
  id: 'm-1',
};
const publication = (rest: Partial<PublicationInput> = {}) =>
  createPublication({ ...input, ...rest });
const frameOf = (rest: Partial<PublicationInput> = {}) =>
  JSON.parse(publication(rest).body.toString('utf8')) as Record<string, unknown>;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('createPublication', () => {
  it('writes the frame that the browser will receive, byte for byte', () => {
    expect(publication().body.toString('utf8')).to.equal(
      '{"event":"message.posted","channel":"private-chat.42","data":"{\\"text\\":\\"hi\\"}","id":"m-1"}',
    );
  });

  it('names no channel where it is for one socket, and goes by a key that no channel has', () => {
    const { name } = socketTarget('12.34' as SocketId);
    const forSocket = publication({ channel: name, toSocket: true });
    expect(forSocket.body.toString('utf8')).to.equal(
      '{"event":"message.posted","data":"{\\"text\\":\\"hi\\"}","id":"m-1"}',
    );
    expect(forSocket).to.include({ channel: 'socket:12.34', key: 'app-id.!socket' });
    expect(socketOf(forSocket.channel)).to.equal('12.34');
    for (const other of ['private-12.34', 'socket:', 'socket:1', 'socket:1.2.3', '12.34']) {
      expect(socketOf(other), other).to.equal(undefined);
    }
  });

  it('is addressed by the key of its channel', () => {
    expect(publication()).to.include({
      appId: 'app-id',
      channel: 'private-chat.42',
      key: 'app-id.private-chat:42',
    });
  });

  const datas = [
    '',
    '123',
    'hello',
    '{"b":1, "a":1.0,"n":9007199254740993}',
    '"quoted" and \\ and \\u0041',
    '\\ud800 as an escape',
    'line\nbreak\r\ttab\u0000\u001f\u007f',
    '\u2028\u2029',
    '日本 é 😀 \u{10ffff}',
    '</script><!--',
    '\ufeffmark',
  ];
  for (const data of datas) {
    it(`gives the browser ${JSON.stringify(data)} as it was published`, () => {
      expect(frameOf({ data })['data']).to.equal(data);
    });
  }

  it('keeps event and channel names whole', () => {
    const frame = frameOf({
      event: 'App\\Events\\"Sent"\n😀',
      channel: '#server-to-user-a"\\\u0000' as ChannelName,
    });
    expect(frame['event']).to.equal('App\\Events\\"Sent"\n😀');
    expect(frame['channel']).to.equal('#server-to-user-a"\\\u0000');
  });

  it('cannot be given another event by data that looks like the rest of a frame', () => {
    const frame = frameOf({ data: '","event":"pusher:error","data":"x' });
    expect(frame['event']).to.equal('message.posted');
    expect(Object.keys(frame)).to.deep.equal(['event', 'channel', 'data', 'id']);
  });

  describe('the id', () => {
    it('is the one that the publisher gave, up to the 255 bytes that AMQP has room for', () => {
      for (const id of ['m-1', 'a'.repeat(255), 'é'.repeat(127), '"\\\n']) {
        expect(publication({ id }).id).to.equal(id);
        expect(frameOf({ id })['id']).to.equal(id);
      }
    });

    it('is a random one where the given one cannot be carried', () => {
      for (const id of ['', 'a'.repeat(256), 'é'.repeat(128), '日'.repeat(86), '\ud800']) {
        expect(publication({ id }).id, JSON.stringify(id).slice(0, 20)).to.match(uuid);
      }
    });

    it('is a new random one each time where none is given', () => {
      const { id: _, ...rest } = input;
      const ids = new Set(Array.from({ length: 100 }, () => createPublication(rest).id));
      expect(ids.size).to.equal(100);
      for (const id of ids) expect(id).to.match(uuid);
    });

    it('stands in the frame and in the publication alike', () => {
      const made = publication({ id: '' });
      expect(JSON.parse(made.body.toString('utf8'))).to.include({ id: made.id });
    });
  });

  it('carries exclusion and trace context beside the frame, never in it', () => {
    const rest = {
      except: '1.2' as SocketId,
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      tracestate: 'a=b',
    };
    expect(publication(rest)).to.include(rest);
    expect(frameOf(rest)).to.have.all.keys('event', 'channel', 'data', 'id');
    expect(publication()).to.not.have.any.keys('except', 'traceparent', 'tracestate');
  });
});

describe('publicationHeaders', () => {
  it('are the names that every version of router and edge agrees on', () => {
    expect(publicationHeaders).to.deep.equal({
      channel: 'x-channel',
      except: 'x-except',
      revokes: 'x-revokes',
      traceparent: 'traceparent',
      tracestate: 'tracestate',
    });
  });
});
