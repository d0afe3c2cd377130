import { expect } from 'chai';
import { parseChannel } from '../../contracts/channel.ts';
import type { SocketId } from '../../contracts/ids.ts';
import {
  bodyMd5,
  equalInConstantTime,
  httpSigningString,
  type SignedRequest,
  type SigningKey,
  signChannel,
  signHttp,
  signUser,
  signWebhook,
  timestampToleranceSeconds,
  verifyChannel,
  verifyHttp,
} from '../../contracts/pusher/signature.ts';
import { errorOf, okOf } from '../support/result.ts';

/** pusher-protocol.md §4.3; re-computed there. */
const app: SigningKey = { key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
const socket = '1234.1234' as SocketId;
const privateSignature = '58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4';
const memberData = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}';
const presenceSignature = '31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80';
const userSignature = '4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba';
const httpSignature = 'da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c';

const privateAuth = `${app.key}:${privateSignature}`;
/** Whatever a client may put where a signature belongs. */
const hostileAuths = [
  '',
  ':',
  app.key,
  `${app.key}:`,
  privateSignature,
  `:${privateSignature}`,
  `${app.key}:${privateSignature.slice(0, -1)}`,
  `${app.key}:${privateSignature}0`,
  `${app.key}:${privateSignature} `,
  `${app.key}:${privateSignature.toUpperCase()}`,
  `${app.key}:${'zz'.repeat(32)}`,
  `${app.key}:${'é'.repeat(64)}`,
  `${app.key}:\u0000`,
  `${app.key}:\ud800`,
  '日本'.repeat(10_000),
];

describe('signChannel', () => {
  it('signs a private channel as the Pusher documentation shows', () => {
    expect(signChannel(app, socket, 'private-foobar')).to.equal(privateAuth);
  });

  it('signs a presence channel over the exact channel data', () => {
    expect(signChannel(app, socket, 'presence-foobar', memberData)).to.equal(
      `${app.key}:${presenceSignature}`,
    );
  });

  it('keeps empty channel data apart from none', () => {
    expect(signChannel(app, socket, 'private-x', '')).to.not.equal(
      signChannel(app, socket, 'private-x'),
    );
  });
});

describe('verifyChannel', () => {
  it('accepts what one of the keys of the app has signed', () => {
    const other = { key: 'other', secret: 'other-secret' };
    expect(verifyChannel([app], privateAuth, socket, 'private-foobar')).to.equal(true);
    expect(verifyChannel([other, app], privateAuth, socket, 'private-foobar')).to.equal(true);
  });

  it('accepts channel data on a private channel too, where it was signed', () => {
    const auth = signChannel(app, socket, 'private-x', '{"a":1}');
    expect(verifyChannel([app], auth, socket, 'private-x', '{"a":1}')).to.equal(true);
    expect(verifyChannel([app], auth, socket, 'private-x')).to.equal(false);
  });

  it('refuses a signature for another socket, channel or app', () => {
    expect(verifyChannel([app], privateAuth, '1234.1235' as SocketId, 'private-foobar')).to.equal(
      false,
    );
    expect(verifyChannel([app], privateAuth, socket, 'private-foobaz')).to.equal(false);
    const sameSecret = { key: 'another-key', secret: app.secret };
    expect(verifyChannel([sameSecret], privateAuth, socket, 'private-foobar')).to.equal(false);
    expect(verifyChannel([], privateAuth, socket, 'private-foobar')).to.equal(false);
  });

  it('compares the key in front of the colon, not only the signature behind it', () => {
    const wrongKey = `someone-else:${privateSignature}`;
    expect(verifyChannel([app], wrongKey, socket, 'private-foobar')).to.equal(false);
  });

  it('refuses channel data that says the same in other bytes', () => {
    const auth = signChannel(app, socket, 'presence-foobar', memberData);
    const reordered = '{"user_info":{"name":"Mr. Channels"},"user_id":10}';
    const spaced = memberData.replace(':10', ': 10');
    for (const data of [reordered, spaced, undefined, '']) {
      expect(verifyChannel([app], auth, socket, 'presence-foobar', data)).to.equal(false);
    }
  });

  it('never throws, and never accepts, whatever stands in place of the signature', () => {
    for (const auth of hostileAuths) {
      expect(verifyChannel([app], auth, socket, 'private-foobar'), auth.slice(0, 80)).to.equal(
        false,
      );
    }
  });

  it('leaves it to the grammar of names that no boundary can be shifted with a colon', () => {
    // socket:channel:data is one string: without the grammar, a signature for one reading would pass for another.
    const auth = signChannel(app, socket, 'private-x', 'y');
    expect(verifyChannel([app], auth, socket, 'private-x:y')).to.equal(true);
    expect(parseChannel('private-x:y').ok).to.equal(false);
    const signin = signUser(app, socket, '{"id":"1"}');
    expect(verifyChannel([app], signin, socket, ':user:', '{"id":"1"}')).to.equal(true);
    expect(parseChannel(':user:').ok).to.equal(false);
  });
});

describe('signUser', () => {
  it('signs a user as the Pusher documentation shows', () => {
    expect(signUser(app, socket, '{"id":"12345"}')).to.equal(`${app.key}:${userSignature}`);
  });
});

describe('signWebhook', () => {
  it('signs the raw body', () => {
    const body = Buffer.from('{"time_ms":1327078148132,"events":[]}');
    const other = Buffer.from('{ "time_ms":1327078148132,"events":[]}');
    expect(signWebhook(app.secret, body)).to.match(/^[0-9a-f]{64}$/);
    expect(signWebhook(app.secret, body)).to.not.equal(signWebhook(app.secret, other));
  });
});

describe('equalInConstantTime', () => {
  it('compares texts of any length without throwing', () => {
    expect(equalInConstantTime('abc', 'abc')).to.equal(true);
    expect(equalInConstantTime('', '')).to.equal(true);
    for (const other of ['', 'ab', 'abcd', 'ABC', 'é']) {
      expect(equalInConstantTime('abc', other)).to.equal(false);
    }
  });
});

// pusher-protocol.md §9.1
const body = Buffer.from(
  '{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}',
);
const signedAt = 1_353_088_179;
const signedParameters = {
  auth_key: app.key,
  auth_timestamp: String(signedAt),
  auth_version: '1.0',
  body_md5: 'ec365a775a4cd0599faeb73354201b6f',
};

type Parameters = Readonly<Record<string, string>>;

function request(
  parameters: Parameters,
  rest: Partial<Omit<SignedRequest, 'query'>> = {},
): SignedRequest {
  return {
    method: 'POST',
    paths: ['/apps/3/events'],
    query: new Map(Object.entries(parameters)),
    body,
    nowSeconds: signedAt,
    ...rest,
  };
}

/** The request as an honest SDK would send it. */
function signed(
  parameters: Parameters,
  rest: Partial<Omit<SignedRequest, 'query'>> = {},
  signedPath = '/apps/3/events',
): SignedRequest {
  const unsigned = request(parameters, rest);
  const signature = signHttp(app.secret, unsigned.method, signedPath, unsigned.query);
  return request({ ...parameters, auth_signature: signature }, rest);
}

describe('bodyMd5', () => {
  it('is the digest of the example', () => {
    expect(bodyMd5(body)).to.equal(signedParameters.body_md5);
  });
});

describe('httpSigningString', () => {
  it('joins method, path and the parameters in order of their names', () => {
    expect(
      httpSigningString('POST', '/apps/3/events', new Map(Object.entries(signedParameters))),
    ).to.equal(
      `POST\n/apps/3/events\nauth_key=${app.key}&auth_timestamp=1353088179&auth_version=1.0&body_md5=${signedParameters.body_md5}`,
    );
  });

  it('lower-cases the names, leaves the values as they are, and leaves the signature out', () => {
    const query = new Map([
      ['Info', 'User_Count,Cache'],
      ['auth_signature', 'x'],
      ['auth_key', 'K'],
    ]);
    expect(httpSigningString('GET', '/p', query)).to.equal(
      'GET\n/p\nauth_key=K&info=User_Count,Cache',
    );
  });
});

describe('signHttp', () => {
  it('signs the example of the documentation', () => {
    const query = new Map(Object.entries(signedParameters));
    expect(signHttp(app.secret, 'POST', '/apps/3/events', query)).to.equal(httpSignature);
  });
});

describe('verifyHttp', () => {
  const verify = (one: SignedRequest) => verifyHttp([app], one);

  it('accepts the example of the documentation and says which key it was', () => {
    const example = request({ ...signedParameters, auth_signature: httpSignature });
    expect(okOf(verify(example))).to.equal(app);
    expect(okOf(verifyHttp([{ key: 'other', secret: 'other' }, app], example))).to.equal(app);
  });

  it('looks at the key first, then the version, the timestamp, the body, and the signature last', () => {
    const wrong = {
      auth_key: 'nobody',
      auth_version: '2.0',
      auth_timestamp: 'NaN',
      body_md5: 'x',
      auth_signature: 'x',
    };
    const cures: readonly (readonly [string, Parameters])[] = [
      ['auth_key', { auth_key: app.key }],
      ['auth_version', { auth_version: '1.0' }],
      ['auth_timestamp', { auth_timestamp: String(signedAt - 601) }],
      ['auth_timestamp', { auth_timestamp: String(signedAt) }],
      ['body_md5', { body_md5: signedParameters.body_md5 }],
      ['auth_signature', { auth_signature: httpSignature }],
    ];
    let parameters: Parameters = wrong;
    for (const [named, cure] of cures) {
      const error = errorOf(verify(request(parameters)));
      expect(error.split(' ')[0]).to.equal(named);
      parameters = { ...parameters, ...cure };
    }
    expect(verify(request(parameters)).ok).to.equal(true);
  });

  it('refuses a request without any of the five parameters', () => {
    const complete: Parameters = { ...signedParameters, auth_signature: httpSignature };
    for (const name of Object.keys(complete)) {
      const rest = Object.fromEntries(Object.entries(complete).filter(([other]) => other !== name));
      expect(errorOf(verify(request(rest))).split(' ')[0]).to.equal(name);
    }
    expect(verify(request({})).ok).to.equal(false);
  });

  it('accepts a clock that is 600 seconds off, either way, and not 601', () => {
    expect(timestampToleranceSeconds).to.equal(600);
    for (const [skew, accepted] of [
      [-601, false],
      [-600, true],
      [600, true],
      [601, false],
      [600.5, false],
    ] as const) {
      const one = signed(signedParameters, { nowSeconds: signedAt + skew });
      expect(verify(one).ok, `${skew} s`).to.equal(accepted);
    }
  });

  it('refuses a timestamp that is not a whole number of seconds, even where it was signed', () => {
    const odd = ['NaN', 'Infinity', '1353088179.5', '-1353088179', '+1353088179', '0x50A6', '1e9'];
    for (const timestamp of [
      ...odd,
      '',
      ' 1353088179',
      '1353088179 ',
      '１３５３０８８１７９',
      '9'.repeat(400),
    ]) {
      const one = signed({ ...signedParameters, auth_timestamp: timestamp });
      expect(errorOf(verify(one)), timestamp).to.match(/^auth_timestamp /);
    }
  });

  it('refuses another body than the signed one', () => {
    const other = Buffer.from(body.toString().replace('project-3', 'project-4'));
    const one = signed(signedParameters, { body: other });
    expect(errorOf(verify(one))).to.match(/^body_md5 /);
  });

  it('refuses a signed digest of a body that was stripped on the way', () => {
    const one = signed(signedParameters, { body: Buffer.alloc(0) });
    expect(errorOf(verify(one))).to.match(/^body_md5 /);
  });

  it('needs no digest where there is no body', () => {
    const { body_md5: _, ...rest } = signedParameters;
    const one = signed(rest, { method: 'GET', body: Buffer.alloc(0) });
    expect(verify(one).ok).to.equal(true);
  });

  it('refuses another method, path, parameter or value than the signed ones', () => {
    const good = signed(signedParameters);
    expect(verify({ ...good, method: 'GET' }).ok).to.equal(false);
    expect(verify({ ...good, paths: ['/apps/4/events'] }).ok).to.equal(false);
    expect(verify({ ...good, paths: [] }).ok).to.equal(false);
    expect(verify({ ...good, query: new Map([...good.query, ['info', 'cache']]) }).ok).to.equal(
      false,
    );
  });

  it('binds parameters beyond the four of the protocol', () => {
    const good = signed({ ...signedParameters, info: 'user_count,subscription_count' });
    expect(verify(good).ok).to.equal(true);
    const tampered = new Map([...good.query, ['info', 'user_count']]);
    expect(verify({ ...good, query: tampered }).ok).to.equal(false);
  });

  it('accepts a signature over the decoded path as well as over the encoded one', () => {
    const encoded = '/apps/3/users/auth0%7Cu%20ser/%C3%A9/terminate_connections';
    const decoded = '/apps/3/users/auth0|u ser/é/terminate_connections';
    for (const path of [encoded, decoded]) {
      expect(verify(signed(signedParameters, { paths: [encoded, decoded] }, path)).ok).to.equal(
        true,
      );
    }
    const other = signed(signedParameters, { paths: [encoded, decoded] }, '/apps/3/users/x');
    expect(verify(other).ok).to.equal(false);
  });

  it('accepts what the PHP SDK sends as %2C and the Node SDK as a comma: both sign the comma', () => {
    const query = new URLSearchParams('info=user_count%2Csubscription_count');
    const fromPhp = signed({ ...signedParameters, ...Object.fromEntries(query) });
    const fromNode = signed({ ...signedParameters, info: 'user_count,subscription_count' });
    expect(fromPhp.query.get('auth_signature')).to.equal(fromNode.query.get('auth_signature'));
    expect(verify(fromPhp).ok).to.equal(true);
    const signedEncoded = signed({ ...signedParameters, info: 'user_count%2Csubscription_count' });
    const decoded = new Map([...signedEncoded.query, ['info', 'user_count,subscription_count']]);
    expect(verify({ ...signedEncoded, query: decoded }).ok).to.equal(false);
  });

  it('never throws, whatever stands in place of the signature or the key', () => {
    for (const auth of hostileAuths) {
      expect(verify(request({ ...signedParameters, auth_signature: auth })).ok).to.equal(false);
      expect(
        verify(request({ ...signedParameters, auth_key: auth, auth_signature: httpSignature })).ok,
      ).to.equal(auth === app.key);
    }
  });

  it('never tells the caller what the right value would have been', () => {
    const digest = signedParameters.body_md5;
    const texts = [
      verify(request({ ...signedParameters, auth_signature: 'x' })),
      verify(request({ ...signedParameters, body_md5: 'x' })),
      verify(request({ ...signedParameters, auth_key: 'x' })),
    ].map(errorOf);
    for (const text of texts) {
      for (const hidden of [digest, httpSignature, app.secret, app.key]) {
        expect(text).to.not.include(hidden);
      }
    }
  });
});
