// Pictures that are to go with the next message: chosen, dropped or pasted.

import { el, fill, iconButton } from './dom.js';

const kinds = /^image\/(png|jpeg|webp|gif|bmp)$/;

export class Pictures {
  /** parts: list, input, button, area and drop are elements; allowed says in words why there can be none, '' if there can; complain shows a sentence. */
  constructor({ list, input, button, area, drop }, allowed, complain) {
    Object.assign(this, { list, drop, allowed, complain, taken: [] });
    button.addEventListener('click', () => this.refused() || input.click());
    input.addEventListener('change', () => {
      this.take([...input.files]);
      input.value = '';
    });
    area.addEventListener('paste', (e) => this.paste(e));
    this.watch(area);
  }

  // Whether there can be none, which is then told.
  refused() {
    const why = this.allowed();
    if (why) this.complain(why);
    return why !== '';
  }

  paste(e) {
    const files = [...(e.clipboardData?.files ?? [])].filter((f) => f.type.startsWith('image/'));
    if (files.length === 0) return;
    e.preventDefault();
    this.take(files);
  }

  watch(area) {
    let depth = 0; // events come from elements within, too
    const over = (n) => {
      depth = Math.max(0, n);
      this.drop.hidden = depth === 0;
    };
    const hasFiles = (e) => [...(e.dataTransfer?.types ?? [])].includes('Files');
    area.addEventListener('dragenter', (e) => hasFiles(e) && over(depth + 1));
    area.addEventListener('dragleave', (e) => hasFiles(e) && over(depth - 1));
    area.addEventListener('dragover', (e) => hasFiles(e) && e.preventDefault());
    area.addEventListener('drop', (e) => {
      if (!hasFiles(e)) return;
      e.preventDefault();
      over(0);
      this.take([...e.dataTransfer.files]);
    });
  }

  /** Takes those of some files that are pictures. */
  async take(files) {
    if (files.length === 0 || this.refused()) return;
    for (const f of files) {
      if (kinds.test(f.type)) this.taken.push({ name: f.name, url: await dataURL(f) });
      else this.complain(`${f.name} is no picture that models take: PNG, JPEG, WebP, GIF or BMP.`);
    }
    this.show();
  }

  show() {
    fill(this.list, this.taken.map((p, i) => el('li', {}, el('img', { src: p.url, alt: p.name }), iconButton('close', `Remove ${p.name}`, () => {
      this.taken.splice(i, 1);
      this.show();
    }))));
  }

  /** Hands the pictures over, and has none. */
  give() {
    const given = this.taken;
    this.put([]);
    return given;
  }

  put(pictures) {
    this.taken = [...pictures];
    this.show();
  }
}

const dataURL = (file) =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
