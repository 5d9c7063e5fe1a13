// Side by side: a VAE and a GAN that learned the same pictures, with what is measured of both.

import { element, word } from './config.js';
import { ask } from './vae_ask.js';
import { madeOf } from './vae_card.js';
import { button, statusLine } from './vae_controls.js';

const SHEET = 16;

export class Side {
  constructor() {
    this.status = statusLine();
    this.columns = element('div', { class: 'gl-before-after' });
    this.go = button('primary', word('vae_side_draw'), () => this.draw(), 'vae-side-draw');
    this.go.disabled = true; // until both models are known
    this.root = element('section', { class: 'gl-side' }, element('p', { class: 'gl-lead' }, word('vae_side_info')),
      element('div', { class: 'gl-row' }, this.go), this.status, this.columns);
    this.models = [];
  }

  /** The first model of each family that learned pictures. */
  show(models) {
    const found = ['pictures', 'gan'].map((kind) => models.find((model) => model.kind === kind && !model.mine));
    const before = this.models.map((model) => model?.name).join();
    this.models = found;
    this.go.disabled = !found.every(Boolean);
    if (before === found.map((model) => model?.name).join() && this.sheets) return;
    this.sheets = [element('div', { class: 'gl-sheet' }), element('div', { class: 'gl-sheet' })];
    this.columns.replaceChildren(...found.map((model, side) => element('div', { class: 'gl-panel' },
      element('h3', {}, word(side ? 'vae_family_gan' : 'vae_family_vae')),
      element('p', { class: 'gl-field-info' }, word(side ? 'vae_family_gan_info' : 'vae_family_vae_info')),
      this.figures(model, side), this.sheets[side])));
  }

  figures(model, side) {
    const figures = model?.figures;
    if (!figures) return element('p', { class: 'gl-note' }, word('vae_no_figures'));
    const rows = [
      ['vae_figure_time', `${figures.milliseconds} ms`],
      ['vae_figure_frechet', figures.frechet_prior],
      ...(side ? [] : [['vae_figure_frechet_mixture', figures.frechet_mixture]]),
      ['vae_figure_halves', figures.frechet_halves],
      ['vae_figure_parameters', figures.parameters?.toLocaleString()],
    ];
    return element('dl', { class: 'gl-parameters' }, rows.filter(([, value]) => value !== undefined).flatMap(([key, value]) => [
      element('dt', {}, word(key)), element('dd', {}, String(value))]));
  }

  async draw() {
    this.go.disabled = true;
    const seed = Math.floor(Math.random() * 2 ** 32);
    for (const [side, model] of this.models.entries()) {
      const source = model.mixture ? 'mixture' : 'prior';
      const began = performance.now();
      const state = await ask('vae', { action: 'sample', model: model.name, drafts: SHEET, source, temperature: 0.8, seed },
        (now) => this.status.follow(now));
      if (state.phase === 'error') break;
      const took = (performance.now() - began) / SHEET;
      this.sheets[side].replaceChildren(
        element('div', { class: 'gl-sheet-grid' }, state.request.drafts.map((draft) => madeOf(state.request, draft))),
        element('p', { class: 'gl-field-info' }, word('vae_side_took', { milliseconds: Math.round(took) }), ' ',
          word(source === 'mixture' ? 'vae_mixture' : 'vae_prior')));
    }
    this.go.disabled = false;
  }
}
