// Elements, made one by one: nothing here or elsewhere in the page takes HTML as text.

const svgSpace = 'http://www.w3.org/2000/svg';

/** A child is a text, a node, a list of children, or null for nothing. */
function add(parent, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((c) => add(parent, c));
  else parent.append(child);
}

function make(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  add(node, children);
  return node;
}

/** el('p', {class: 'a', onclick: f}, 'text', node) is an element with attributes, listeners and children. */
export const el = (name, props = {}, ...children) => make(document.createElement(name), props, children);

/** The same for SVG. */
export const svg = (name, props = {}, ...children) => make(document.createElementNS(svgSpace, name), props, children);

/** One of the symbols at the top of the page; its meaning is in the label of whatever it stands in. */
export const icon = (name) => svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }));

export const byId = (id) => document.getElementById(id);

/** Puts other children in the place of those that node has. */
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

/** Sets a text only if it is another one, so that a selection in it survives. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tells those who do not see the page what has happened. */
export function announce(text) {
  say(byId('announcer'), text);
}

/** A button with a symbol and a name. */
export const iconButton = (name, label, onclick, props = {}) =>
  el('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...props }, icon(name));

/** Copies a text and says so in the button that was pressed. */
export async function copy(text, button) {
  let done = 'Copied';
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = 'The browser does not allow it';
  }
  const label = button.getAttribute('aria-label');
  announce(done);
  button.title = done;
  button.classList.add('done');
  setTimeout(() => {
    button.title = label;
    button.classList.remove('done');
  }, 1500);
}
