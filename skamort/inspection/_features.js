
// A list of latents, of which only what is seen is in the page, and one latent in full.

const page = JSON.parse(document.getElementById("page").textContent);
const latents = page.latents.map((values, id) =>
  ({ id, ...Object.fromEntries(page.fields.map((field, i) => [field, values[i]])) }));
const byId = (id) => document.getElementById(id);
const [search, frequency, group, list, detail] =
  ["search", "frequency", "class", "list", "detail"].map(byId);
const body = list.querySelector("tbody");
const percent = (share) => share === 0 ? "never" : `${(100 * share).toPrecision(2) * 1}\u00a0%`;
const number = (value) => value === null ? "" : `${Number(value.toPrecision(3))}`;

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// -- The list ---------------------------------------------------------------------------------

const columns = {
  latent: { key: (l) => l.id, text: (l) => `${l.id}` },
  frequency: { key: (l) => l.frequency, text: (l) => percent(l.frequency) },
  largest: { key: (l) => l.largest ?? NaN, text: (l) => number(l.largest) },
  score: { key: (l) => l.score ?? NaN, text: (l) => number(l.score) },
  about: { key: (l) => about(l) || NaN, text: about },
};
const shownColumns = page.columns.map((name) => columns[name]);
let visible = latents;
let order = latents;

function about(latent) {
  return latent.explanation || latent.hint || (latent.class ? `class ${latent.class}` : "");
}

const RANGES = {
  alive: (share) => share > 0, never: (share) => share === 0, rare: (share) => share > 0 && share < .001,
  some: (share) => share >= .001 && share < .01, often: (share) => share >= .01 && share < .1,
  most: (share) => share >= .1,
};

function matches(latent) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${latent.id} ${latent.explanation ?? ""} ${latent.class ?? ""} ${latent.hint ?? ""}`;
  const isFound = words.every((word) => text.toLowerCase().includes(word));
  const isInRange = frequency.value === "" || RANGES[frequency.value](latent.frequency);
  return isFound && isInRange && (group.value === "" || latent.class === group.value);
}

function filter() {
  visible = order.filter(matches);
  byId("count").textContent = `${visible.length.toLocaleString("en")} of ` +
    `${latents.length.toLocaleString("en")} latents`;
  list.scrollTop = 0;
  fill();
}

function row(latent) {
  const cells = shownColumns.map(({ text }, i) => {
    const label = text(latent);
    const name = page.columns[i];
    if (name === "about") return element("td", { className: name, title: label }, thumbnail(latent), label);
    const inside = i === 0 ? element("a", { href: `#${latent.id}` }, label) : label;
    return element("td", { className: `number ${name}` }, inside);
  });
  const made = element("tr", {}, ...cells);
  made.dataset.latent = latent.id;
  if (latent.id === selected()) made.setAttribute("aria-current", "true");
  return made;
}

function thumbnail({ image }) {
  return image ? element("img", { src: image, alt: "", className: "pixels" }) : null;
}

function spacer(n, height) {
  const made = element("tr", { ariaHidden: "true" }, element("td", {}));
  made.className = "space";
  made.firstChild.style.height = `${n * height}px`;
  return made;
}

function fill() {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(list.scrollTop / height) - 10);
  const last = Math.min(visible.length, first + Math.ceil(list.clientHeight / height) + 20);
  const rows = visible.slice(first, last).map(row);
  body.replaceChildren(spacer(first, height), ...rows, spacer(visible.length - last, height));
}

function rowHeight() {
  return 2 * parseFloat(getComputedStyle(document.documentElement).fontSize);
}

// -- One latent -------------------------------------------------------------------------------

const waiting = new Map();
const loaded = new Map();

// Chunk files call this.
window.skamortChunk = (chunk, values) => waiting.get(chunk).resolve(values);

function load(chunk) {
  if (!loaded.has(chunk)) loaded.set(chunk, page.beside ? fetched(chunk) : within(chunk));
  return loaded.get(chunk);
}

async function within(chunk) {
  return JSON.parse(byId(`chunk-${chunk}`).textContent);
}

function fetched(chunk) {
  return new Promise((resolve, reject) => {
    waiting.set(chunk, { resolve });
    const source = `${page.beside}${chunk}.js`;
    const failed = () => reject(new Error(
      `${decodeURIComponent(source)} is not there: keep the folder beside this page.`));
    document.head.append(element("script", { src: source, onerror: failed }));
  });
}

function selected() {
  return parseInt(location.hash.slice(1), 10);
}

async function show() {
  const id = selected();
  fill();
  if (!(id in latents)) return;
  try {
    const chunk = await load(Math.floor(id / page.chunk));
    if (id === selected()) detail.replaceChildren(...describe(latents[id], chunk[id % page.chunk]));
  } catch (error) {
    loaded.delete(Math.floor(id / page.chunk));
    detail.replaceChildren(element("p", { role: "alert" }, error.message));
  }
}

function describe(latent, facts) {
  const told = latent.explanation ? [element("p", { className: "explanation" }, latent.explanation)] : [];
  if (latent.score !== null && latent.score !== undefined) {
    told.push(element("p", { className: "faint" }, `explanation's score ${number(latent.score)}`));
  }
  return [
    element("header", {}, element("h2", {}, `Latent ${latent.id}`), step("‹", -1), step("›", 1)),
    ...told,
    element("div", { className: "facts" }, activity(latent, facts), classes(facts), atom(facts),
      near("Neighbours by cosine", facts.cosine), near("Active together", facts.together),
      tokens("Raises", facts.effects?.raised), tokens("Lowers", facts.effects?.lowered)),
    ...bins(facts.examples).flatMap((bin) => examples(latent, facts.examples, bin)),
  ];
}

function step(label, by) {
  const name = by < 0 ? "previous latent" : "next latent";
  return element("button", { type: "button", ariaLabel: name, title: name, onclick: () => move(by) }, label);
}

function fact(title, ...inside) {
  return element("section", {}, element("h3", {}, title), ...inside);
}

function activity(latent, facts) {
  const [active, rows] = [facts.active, page.rows].map((count) => count.toLocaleString("en"));
  const share = active === "0" ? `active in none of ${rows} rows` :
    `active in ${active} of ${rows} rows, ${percent(latent.frequency)}`;
  return fact("Activity", facts.histogram ? histogram(facts.histogram) : null,
    element("p", { className: "faint" }, share));
}

function histogram({ low, high, counts }) {
  const most = Math.max(...counts);
  const bars = counts.map((count, i) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = count && Math.max(1, 60 * count / most);
    const places = { x: i * 8, y: 60 - height, width: 7, height };
    for (const [name, value] of Object.entries(places)) bar.setAttribute(name, value);
    return bar;
  });
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", `0 0 ${8 * counts.length} 60`);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `Histogram of codes from ${low} to ${high}`);
  picture.append(...bars);
  const ends = element("div", { className: "ends" }, element("span", {}, `${low}`), element("span", {}, `${high}`));
  return element("div", { className: "histogram" }, picture, ends);
}

function classes({ classes: found }) {
  if (!found?.length) return null;
  const items = found.map(([name, share]) => element("li", {}, `${name} `, faint(percent(share))));
  return fact("Classes of active rows", element("ul", {}, ...items));
}

function atom(facts) {
  return facts.atom ? fact("Atom", content(facts.atom, 1)) : null;
}

function near(title, found) {
  if (!found?.length) return null;
  const items = found.map(([id, value]) => element("li", {},
    element("a", { href: `#${id}` }, `${id}`), " ", faint(number(value)), " ", about(latents[id])));
  return fact(title, element("ul", {}, ...items));
}

function tokens(title, found) {
  if (!found?.length) return null;
  const items = found.map(([token, value]) =>
    element("li", {}, element("span", { className: "token" }, visibly(token)), " ", faint(number(value))));
  return fact(title, element("ul", {}, ...items));
}

function faint(text) {
  return element("span", { className: "faint" }, text);
}

function bins(found) {
  const last = Math.max(0, ...found.map(({ bin }) => bin));
  return [0, ...Array.from({ length: last }, (_, i) => last - i)];
}

function examples(latent, found, bin) {
  const inside = found.filter((example) => example.bin === bin);
  if (!inside.length) return [];
  const title = bin === 0 ? "Strongest" : `From quantile bin ${bin} of ${page.bins}`;
  const isImage = inside.every(({ shown }) => "image" in shown);
  const items = inside.map((example) => element("li", {},
    element("span", { className: "code" }, number(example.code)),
    content(example.shown, latent.largest),
    element("span", { className: "faint place" }, [example.label, example.shown.place ?? `row ${example.row}`]
      .filter((part) => part !== undefined).join(", "))));
  return [element("h3", {}, title), element("ol", { className: isImage ? "examples images" : "examples" }, ...items)];
}

function content(shown, largest) {
  if ("image" in shown) return picture(shown);
  if ("html" in shown) return element("div", { className: "text", innerHTML: shown.html });
  if ("text" in shown) return element("div", { className: "text" }, shown.text);
  const spans = shown.tokens.map((token, i) => shaded(token, shown.codes[i], largest, i === shown.at));
  return element("div", { className: "text tokens" }, ...spans);
}

function picture({ image, size: [width, height] }) {
  const times = Math.max(1, Math.round(72 / Math.max(width, height)));
  const made = element("img", { src: image, alt: "", width: times * width, height: times * height });
  if (times > 1) made.className = "pixels";
  return made;
}

function shaded(token, code, largest, isPeak) {
  const made = element("span", { className: "token", title: number(code) }, visibly(token));
  if (isPeak) made.classList.add("peak");
  if (code) {
    made.classList.add(code > 0 ? "hot" : "cold");
    made.style.setProperty("--share", `${Math.round(12 + 58 * Math.min(1, Math.abs(code / largest)))}%`);
  }
  return made;
}

function visibly(token) {
  return token.replace(/\r?\n/g, "↵").replace(/\t/g, "⇥");
}

// -- Keys and clicks --------------------------------------------------------------------------

function move(by) {
  const place = visible.findIndex(({ id }) => id === selected());
  const next = visible[Math.min(visible.length - 1, Math.max(0, place + by))];
  if (next) location.hash = next.id;
}

function keepInSight() {
  const place = visible.findIndex(({ id }) => id === selected());
  if (place < 0) return;
  const [top, height] = [place * rowHeight(), rowHeight()];
  const room = list.clientHeight - list.querySelector("thead").offsetHeight;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + height > list.scrollTop + room) list.scrollTop = top + height - room;
}

const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

document.addEventListener("keydown", (event) => {
  const isTyping = event.target === search;
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && isTyping) {
    search.blur();
  } else if (event.key in STEPS && !(isTyping && /Left|Right/.test(event.key))) {
    event.preventDefault();
    move(STEPS[event.key]);
  }
});
body.addEventListener("click", (event) => {
  const clicked = event.target.closest("tr")?.dataset.latent;
  if (clicked === undefined) return;
  location.hash = clicked;
  if (detail.offsetTop > list.offsetTop + list.offsetHeight / 2) detail.scrollIntoView();
});
makeSortable([...list.querySelectorAll("thead th")], (column, sign) => {
  order = sorted(latents, shownColumns[column].key, sign);
  filter();
});
search.addEventListener("input", filter);
for (const menu of [frequency, group]) menu.addEventListener("change", filter);
list.addEventListener("scroll", fill);
window.addEventListener("resize", fill);
window.addEventListener("hashchange", () => { show(); keepInSight(); });

const names = [...new Set(latents.map((latent) => latent.class))].filter(Boolean);
group.append(...sorted(names, (name) => name, 1).map((name) => element("option", { value: name }, name)));
group.hidden = names.length === 0;
filter();
if (selected() in latents) show();
else location.replace(`#${(latents.find((latent) => latent.frequency > 0) ?? latents[0]).id}`);
keepInSight();
