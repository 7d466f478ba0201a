// The certified OpenID provider, as the stories need it: https, one confidential client, PKCE whatever the client is.
// Its own pages ask who somebody is, take any password, and ask for consent.
//
// usage: node op.mjs <configuration.json>
//   { port, issuer, cert, key, ca, lasts,
//     client: { id, secret, jwk, redirect_uris, post_logout, back_channel }, people: { <login>: { <claim>: … } },
//     acr: { <login>: <class> }, lazy }
// jwk, the client's public key, stands in place of its secret. lasts is how many seconds an access token is good: with it
// there are refresh tokens, each good once. back_channel is told of logouts, on the loopback address whatever its host.
// acr says with which authentication context class somebody logs in. A lazy provider asks nobody again whom it knows,
// whatever prompt and max_age want.
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { register } from 'node:module';

// The provider is written for Node.js 22, and Debian 12 has 18: what it misses there is lent to it.
URL.parse ??= (url, base) => { try { return new URL(url, base); } catch { return null; } };
globalThis.crypto ??= crypto.webcrypto;
if (!crypto.hash) {
  const script = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
  const lent = script(`
    import { createHash } from 'node:crypto';
    export * from 'node:crypto';
    export { default } from 'node:crypto';
    export const hash = (algorithm, data, encoding = 'hex') =>
      createHash(algorithm).update(data).digest(encoding === 'buffer' ? undefined : encoding);`);
  register(script(`
    export const resolve = (name, context, next) => name === 'node:crypto' && !context.parentURL?.startsWith('data:')
      ? { url: ${JSON.stringify(lent)}, format: 'module', shortCircuit: true } : next(name, context);`));
}
const { default: Provider, interactionPolicy } = await import('oidc-provider');

const conf = JSON.parse(readFileSync(process.argv[2], 'utf8'));

// New keys at each start: a restart is a rotation.
const key = (alg, pair) => ({ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig' });
const jwks = {
  keys: [
    key('RS256', crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })),
    key('ES256', crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  ],
};

// post is as much of fetch as a logout token needs, to names that no DNS knows.
function post(url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const to = new URL(url);
    const req = https.request({
      host: '127.0.0.1', port: to.port, path: to.pathname + to.search, method, servername: to.hostname,
      ca: readFileSync(conf.ca), headers: { ...Object.fromEntries(new Headers(headers)), host: to.host },
    }, (res) => { res.resume(); resolve(new Response(null, { status: res.statusCode })); });
    req.on('error', reject);
    req.end(String(body ?? ''));
  });
}

const policy = interactionPolicy.base();
if (conf.lazy) {
  for (const check of ['login_prompt', 'max_age']) policy.get('login').checks.remove(check);
}

const provider = new Provider(conf.issuer, {
  jwks,
  interactions: { policy },
  acrValues: ['phr'],
  clients: [{
    client_id: conf.client.id,
    ...(conf.client.jwk
      ? { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [conf.client.jwk] } }
      : { client_secret: conf.client.secret }),
    redirect_uris: conf.client.redirect_uris,
    response_types: ['code'],
    grant_types: ['authorization_code', ...(conf.lasts ? ['refresh_token'] : [])],
    post_logout_redirect_uris: conf.client.post_logout ?? [],
    ...(conf.client.back_channel && { backchannel_logout_uri: conf.client.back_channel, backchannel_logout_session_required: true }),
  }],
  ...(conf.lasts && { ttl: { AccessToken: conf.lasts }, issueRefreshToken: async () => true, rotateRefreshToken: true }),
  fetch: post,
  pkce: { required: () => true },
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'groups'],
    email: ['email', 'email_verified'],
  },
  // With false, the claims are in the ID token; with true, the client must ask for them at the userinfo endpoint.
  conformIdTokenClaims: conf.userinfo === true,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...conf.people[id] }) }),
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
});
// Its own pages log everybody in with no class.
const finished = provider.interactionFinished.bind(provider);
provider.interactionFinished = (req, res, result, options) => {
  const acr = conf.acr?.[result.login?.accountId];
  return finished(req, res, acr ? { ...result, login: { ...result.login, acr } } : result, options);
};
provider.on('server_error', (_, err) => console.error('server_error', err));
provider.on('backchannel.error', (_, err) => console.error('backchannel.error', err));
provider.on('grant.error', (_, err) => console.error('grant.error', err.error, err.error_detail));

const server = https.createServer({ cert: readFileSync(conf.cert), key: readFileSync(conf.key) }, provider.callback());
server.on('error', (err) => { console.error(err); process.exit(1); });
server.listen(conf.port, '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
