// Where the page begins: its two views, and the question for a key.

import { onKey } from './api.js';
import { byId, say } from './dom.js';
import { Chat } from './chat.js';
import { Host } from './host.js';

const refreshTime = 3000; // ms between looks at the models

function askForKey(reason) {
  const dialog = byId('key-dialog');
  const input = byId('key');
  say(byId('key-reason'), reason);
  input.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener('close', () => done(dialog.returnValue === 'use' ? input.value.trim() : ''), { once: true });
  });
}

function show(views) {
  const name = location.hash === '#host' ? 'host' : 'chat';
  for (const each of ['chat', 'host']) {
    byId(each).hidden = each !== name;
    if (each === name) byId(`to-${each}`).setAttribute('aria-current', 'page');
    else byId(`to-${each}`).removeAttribute('aria-current');
  }
  document.body.dataset.view = name;
  document.title = name === 'host' ? 'Host – piohost' : 'piohost';
  views.host.watch(name === 'host');
  if (name === 'chat') views.chat.question.focus();
}

function keepLooking(chat) {
  const look = async () => {
    const settled = chat.models.list.length > 0 && chat.models.list.every((m) => m.state === 'ready');
    if (!document.hidden && !byId('chat').hidden && !settled) await chat.models.refresh();
    setTimeout(look, refreshTime);
  };
  look();
  addEventListener('focus', () => chat.models.refresh());
}

byId('key-cancel').addEventListener('click', () => byId('key-dialog').close(''));
byId('key-form').addEventListener('submit', (e) => {
  e.preventDefault();
  byId('key-dialog').close('use');
});
onKey(askForKey);
const views = { chat: new Chat(), host: new Host(byId('host')) };
addEventListener('hashchange', () => show(views));
show(views);
keepLooking(views.chat);
