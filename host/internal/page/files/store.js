// What the browser keeps: conversations and settings, in localStorage, by names that begin with "pio.". Nothing of it is sent anywhere but in a request.

const listKey = 'pio.conversations';
const settingsKey = 'pio.settings';
const itemKey = (id) => `pio.conversation.${id}`;

function get(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** The conversations there are, newest first: {id, title, at}. */
export const conversations = () => get(listKey, []).filter((c) => typeof c?.id === 'string').sort((a, b) => b.at - a.at);

/** A conversation that has not begun. */
export const begin = () => ({ id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, title: '', at: Date.now(), messages: [] });

/** The conversation of an id, null if there is none. */
export function load(id) {
  const c = get(itemKey(id), null);
  return Array.isArray(c?.messages) ? c : null;
}

/** Keeps a conversation. What is returned says in words what could not be kept, '' if all was. */
export function save(conversation) {
  conversation.at = Date.now();
  conversation.title ||= titleOf(conversation);
  const { id, title, at } = conversation;
  try {
    const lost = keep(conversation);
    localStorage.setItem(listKey, JSON.stringify([{ id, title, at }, ...conversations().filter((c) => c.id !== id)]));
    return lost;
  } catch {
    return 'The browser has no room left for this conversation: it is lost when the page is closed. Older ones can be deleted.';
  }
}

// Pictures go first where there is no room for all.
function keep(conversation) {
  try {
    localStorage.setItem(itemKey(conversation.id), JSON.stringify(conversation));
    return '';
  } catch {
    const messages = conversation.messages.map((m) => (m.pictures ? { ...m, pictures: m.pictures.map((p) => ({ name: p.name })) } : m));
    localStorage.setItem(itemKey(conversation.id), JSON.stringify({ ...conversation, messages }));
    return 'The browser has no room for the pictures of this conversation: it keeps the words alone.';
  }
}

function titleOf({ messages }) {
  const first = messages.find((m) => m.role === 'user');
  const words = (first?.text || first?.pictures?.[0]?.name || 'Conversation').trim().replace(/\s+/g, ' ');
  return words.length > 60 ? `${words.slice(0, 59)}…` : words;
}

export function remove(id) {
  localStorage.removeItem(itemKey(id));
  localStorage.setItem(listKey, JSON.stringify(conversations().filter((c) => c.id !== id)));
}

export function removeAll() {
  for (const { id } of conversations()) localStorage.removeItem(itemKey(id));
  localStorage.removeItem(listKey);
}

/** Settings by name; what was never set is not there. */
export const settings = () => get(settingsKey, {});

export function keepSettings(values) {
  try {
    localStorage.setItem(settingsKey, JSON.stringify(values));
  } catch {
    // they hold until the page is closed
  }
}
