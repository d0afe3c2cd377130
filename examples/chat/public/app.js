/** The page: stock Laravel Echo and nothing that knows Warren beyond host, port and key. */
const Echo = globalThis.Echo.default ?? globalThis.Echo;
const element = (id) => document.getElementById(id);
const config = await (await fetch('/config.json')).json();
let room = config.rooms[0];
let token;
let echo;

element('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await post('/login', { name: element('name').value });
  if (answer === undefined) return;
  token = answer.token;
  connect();
  element('login').hidden = true;
  element('chat').hidden = false;
  element('text').focus();
});

element('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const field = element('text');
  const sent = await post('/messages', { room, text: field.value });
  if (sent !== undefined) field.value = '';
});

function connect() {
  echo = new Echo({
    broadcaster: 'reverb',
    key: config.key,
    wsHost: location.hostname,
    wsPort: config.port,
    forceTLS: false,
    enabledTransports: ['ws', 'wss'],
    authEndpoint: `http://${location.hostname}:${config.port}/broadcasting/auth`,
    bearerToken: token,
  });
  echo.connector.pusher.connection.bind('state_change', ({ current }) => {
    element('state').textContent = current;
    element('state').dataset.state = current;
  });
  for (const name of config.rooms) {
    const button = document.createElement('button');
    button.textContent = name;
    button.dataset.room = name;
    button.addEventListener('click', () => open(name));
    element('rooms').append(button);
    echo
      .private(`chat.${name}`)
      .listen('.message.posted', (message) => show(name, message))
      .error((refusal) => {
        element('error').textContent = `${name}: ${refusal.error ?? 'not allowed'}`;
      });
  }
  echo.channel('activity').listen('.room.active', ({ room: busy }) => {
    if (busy !== room)
      element('rooms').querySelector(`[data-room="${busy}"]`)?.classList.add('unread');
  });
  open(room);
}

function open(name) {
  room = name;
  for (const button of element('rooms').children) {
    button.setAttribute('aria-pressed', String(button.dataset.room === name));
    if (button.dataset.room === name) button.classList.remove('unread');
  }
  for (const item of element('messages').children) item.hidden = item.dataset.room !== name;
}

function show(name, message) {
  const item = document.createElement('li');
  item.dataset.room = name;
  item.dataset.id = message.id;
  item.hidden = name !== room;
  const from = document.createElement('strong');
  from.textContent = message.from;
  const time = document.createElement('time');
  time.dateTime = message.sentAt;
  time.textContent = new Date(message.sentAt).toLocaleTimeString([], { timeStyle: 'short' });
  const text = document.createElement('p');
  text.textContent = message.text;
  item.append(from, time, text);
  element('messages').append(item);
  while (element('messages').children.length > 500) element('messages').firstChild.remove();
  item.scrollIntoView({ block: 'end' });
}

async function post(path, body) {
  element('error').textContent = '';
  const headers = { 'content-type': 'application/json' };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  try {
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    const answer = await response.json();
    if (response.ok) return answer;
    element('error').textContent = answer.error;
  } catch {
    element('error').textContent = 'the chat service does not answer';
  }
  return undefined;
}
