'use strict';
(() => {
  const { images, layers } = JSON.parse(document.getElementById('data').textContent);
  const byId = id => document.getElementById(id);
  const fleet = byId('fleet');
  const sum = parts => parts.reduce((bytes, part) => bytes + part.size, 0);

  layers.forEach(layer => {
    layer.images = [];
    layer.cells = [];
    layer.paths.sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
  });
  for (const image of images) {
    image.layers = image.layers.map(place => layers[place]);
    image.size = sum(image.layers);
    for (const layer of image.layers) layer.images.push(image.name);
  }

  function megabytes(bytes) {
    for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) {
      if (bytes >= size) return `${(bytes / size).toFixed(bytes < 10 * size ? 2 : 1)} ${unit}`;
    }
    return `${bytes} B`;
  }

  function chance({ chance }) {
    if (chance === null) return '';
    return chance < 100 ? `${chance / 10} %` : `${Math.round(chance / 10)} %`;
  }

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function count(many, one) {
    return `${many} ${one}${many === 1 ? '' : 's'}`;
  }

  const of = layer => layer.images.length === images.length ? 'all images' : layer.images.join(', ');

  // More images are a stronger shade: what all share stands out at the bottom.
  function shade(layer) {
    const part = images.length > 1 ? (layer.images.length - 1) / (images.length - 1) : 1;
    return `color-mix(in oklab, var(--low) ${Math.round(part * 100)}%, var(--high))`;
  }

  function draw() {
    const largest = Math.max(1, ...images.map(image => image.size));
    const height = fleet.clientHeight - 40;
    fleet.replaceChildren(...images.map(image => {
      const column = element('div', { title: `${image.name}, ${megabytes(image.size)}` }, element('b', {}, image.name));
      for (const layer of [...image.layers].reverse()) {
        const tall = layer.size / largest * height;
        const cell = element('button', { type: 'button', title: `${megabytes(layer.size)}, ${of(layer)}` });
        if (tall > 13) cell.append(layer.paths[0].name);
        cell.style.height = `${tall}px`;
        cell.style.setProperty('--shade', shade(layer));
        cell.setAttribute('aria-pressed', 'false');
        cell.onclick = () => select(layer);
        layer.cells.push(cell);
        column.append(cell);
      }
      return column;
    }));
  }

  function select(layer) {
    fleet.querySelectorAll('[aria-pressed="true"]').forEach(cell => cell.setAttribute('aria-pressed', 'false'));
    for (const cell of layer.cells) cell.setAttribute('aria-pressed', 'true');
    const words = [megabytes(layer.size), layer.why, of(layer)];
    if (layer.chance !== null) words.push(`changes in ${chance(layer)} of releases`);
    const items = layer.paths.map(path => element('li', {}, element('code', {}, path.path), element('span', {}, megabytes(path.size))));
    byId('detail').replaceChildren(element('h2', {}, count(layer.paths.length, 'path')), element('p', {}, words.join(' · ')),
      element('div', { className: 'paths' }, element('ul', {}, ...items)));
  }

  function search() {
    const words = byId('search').value.trim().toLowerCase();
    const fits = layer => layer.paths.some(path => path.path.toLowerCase().includes(words));
    fleet.classList.toggle('searched', words !== '');
    const found = layers.filter(fits);
    for (const layer of layers) for (const cell of layer.cells) cell.classList.toggle('found', found.includes(layer));
    byId('layers').replaceChildren(...found.map(layer => {
      const names = layer.paths.slice(0, 4).map(path => path.name).join(', ');
      const row = element('tr', {},
        element('td', { className: 'number' }, megabytes(layer.size)),
        element('td', { className: 'number' }, chance(layer)),
        element('td', {}, of(layer)),
        element('td', {}, `${layer.paths.length > 1 ? `${layer.paths.length}: ` : ''}${names}${layer.paths.length > 4 ? ' …' : ''}`));
      row.onclick = () => select(layer);
      return row;
    }));
    byId('nothing').hidden = found.length > 0;
  }

  byId('title').textContent = `Layers of ${count(images.length, 'image')}`;
  byId('summary').textContent = `${count(layers.length, 'different layer')}, ${megabytes(sum(layers))}; the images alone have ${megabytes(sum(images))}`;
  byId('legend').querySelector('i').style.background = 'linear-gradient(90deg, var(--high), var(--low))';
  byId('detail').append(element('p', {}, 'Each column is an image, with its lowest layer at the bottom. Choose a layer to see which images have it.'));
  byId('search').oninput = search;
  draw();
  search();
})();
