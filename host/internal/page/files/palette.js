// Colours by name: each keeps its own as long as the page is open. They are classes, so that the style sheet has them for light and dark.

const count = 8;

// Devices begin elsewhere than models, since both are seen together.
const first = { model: 0, device: 5 };

export class Palette {
  constructor(kind = 'model') {
    this.kind = kind;
    this.names = [];
  }

  /** The class of a name's colour. The cpu has one apart: it is where everything lies that lies nowhere else. */
  of(name) {
    if (this.kind === 'device' && name === 'cpu') return 'c-cpu';
    if (!this.names.includes(name)) this.names.push(name);
    return `c-${(first[this.kind] + this.names.indexOf(name)) % count}`;
  }
}
