import { expect } from 'chai';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { Heartbeat, sweepPeriodMs } from '../../edge/socket/heartbeat.ts';

const limits = { activityTimeoutMs: 30_000, pongTimeoutMs: 10_000, slowSocketMs: 5_000 };

describe('Heartbeat', () => {
  it('asks for a sign of life after silence, once', () => {
    const heartbeat = new Heartbeat(limits, 0);
    expect(heartbeat.due(29_999)).to.equal(undefined);
    expect(heartbeat.due(30_000)).to.equal('ping');
    expect(heartbeat.due(30_001)).to.equal(undefined);
  });

  it('closes with 4201 when none comes in time', () => {
    const heartbeat = new Heartbeat(limits, 0);
    heartbeat.due(30_000);
    expect(heartbeat.due(39_999)).to.equal(undefined);
    expect(heartbeat.due(40_000)).to.equal(closeCodes.pongTimeout);
  });

  it('takes anything received as a sign of life', () => {
    const heartbeat = new Heartbeat(limits, 0);
    heartbeat.due(30_000);
    heartbeat.heard(39_999);
    expect(heartbeat.due(45_000)).to.equal(undefined);
    expect(heartbeat.due(69_999)).to.equal('ping');
  });

  it('closes a socket with 4100 that stays full, and neither pings nor times it out meanwhile', () => {
    const heartbeat = new Heartbeat(limits, 0);
    heartbeat.full(29_000);
    expect(heartbeat.due(33_999)).to.equal(undefined);
    expect(heartbeat.due(34_000)).to.equal(closeCodes.overCapacity);
  });

  it('gives a pong that could not be read its whole time again', () => {
    const heartbeat = new Heartbeat(limits, 0);
    expect(heartbeat.due(30_000)).to.equal('ping');
    heartbeat.full(31_000);
    heartbeat.free(35_000);
    expect(heartbeat.due(44_999)).to.equal(undefined);
    expect(heartbeat.due(45_000)).to.equal(closeCodes.pongTimeout);
  });
});

describe('sweepPeriodMs', () => {
  it('is a quarter of the shortest deadline, between 25 ms and a second', () => {
    expect(sweepPeriodMs(limits)).to.equal(1_000);
    expect(sweepPeriodMs({ ...limits, slowSocketMs: 400 })).to.equal(100);
    expect(sweepPeriodMs({ ...limits, pongTimeoutMs: 1 })).to.equal(25);
  });
});
