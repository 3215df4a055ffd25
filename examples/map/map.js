// Draws each airport as a dot, and colours it by its last event. One subscription does it: the last event of every
// topic first, then whatever happens. After a lost connection the SDK goes on where it was; if something was lost for
// good, it says so, and the map is taken anew.
import { connect } from "./client.js";

const COLOURS = { waiting: "#3f4d5c", worked: "#4fb3ff", failed: "#e0a13a", dead: "#e5555a" };
const FLASH_MS = 900;

const settings = JSON.parse(document.querySelector("#settings").textContent);
const client = connect({ url: settings.brokerUrl });
const exchange = client.exchange(settings.exchange);
const airports = new Map();
const flashing = new Set();
const feed = [];
let subscription = null;

for (const place of await (await fetch("/airports.json")).json()) {
  airports.set(place.topic, { ...place, state: "waiting", changedMs: 0 });
}

function subscribe(pattern) {
  subscription?.stop();
  for (const airport of airports.values()) airport.state = "waiting";
  subscription = exchange.subscribe(pattern, show, {
    lastValues: true,
    onState: (state) => {
      const label = document.querySelector("#state");
      label.dataset.state = state;
      label.textContent = state;
    },
    onRecovered: () => tell("came back; nothing was missed"),
    onGap: ({ reason }) => {
      tell(`came back; events were lost (${reason}), so the map is taken anew`);
      subscribe(pattern);
    },
    onError: (error) => tell(`${error.code}: ${error.message}`),
  });
  drawSoon();
}

function show(event) {
  const airport = airports.get(event.topic);
  if (airport === undefined) return;
  airport.state = event.death === undefined ? event.json().outcome : "dead";
  if (event.from !== "snapshot") {
    airport.changedMs = performance.now();
    flashing.add(airport);
    feed.unshift(
      `${event.topic}  ${airport.state}${event.death ? `: ${event.death.log.at(-1)?.error}` : ""}`,
    );
    feed.length = Math.min(feed.length, 6);
  }
  drawSoon();
}

function tell(text) {
  document.querySelector("#told").textContent = text;
}

// The picture

const canvas = document.querySelector("#map");
let isDrawing = false;

function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(draw);
}

function draw() {
  isDrawing = false;
  const { width, height, at } = frame();
  const paper = canvas.getContext("2d");
  paper.clearRect(0, 0, width, height);
  const counts = { waiting: 0, worked: 0, failed: 0, dead: 0 };
  const radius = Math.max(1, width / 1100);
  for (const airport of airports.values()) {
    counts[airport.state]++;
    const [x, y] = at(airport);
    dot(paper, x, y, airport.state === "dead" ? radius * 1.8 : radius, COLOURS[airport.state]);
  }
  const nowMs = performance.now();
  for (const airport of flashing) {
    const age = (nowMs - airport.changedMs) / FLASH_MS;
    if (age >= 1) flashing.delete(airport);
    const [x, y] = at(airport);
    paper.globalAlpha = Math.max(0, 1 - age);
    dot(paper, x, y, radius * (2 + age * 5), COLOURS[airport.state]);
    paper.globalAlpha = 1;
  }
  for (const [state, count] of Object.entries(counts)) {
    document.querySelector(`[data-count=${state}]`).textContent = count.toLocaleString("en");
  }
  document
    .querySelector("#feed")
    .replaceChildren(
      ...feed.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
    );
  if (flashing.size > 0) drawSoon();
}

/** An equirectangular map, as large as fits. */
function frame() {
  const scale = devicePixelRatio;
  const { clientWidth, clientHeight } = canvas;
  const width = Math.round(clientWidth * scale);
  const height = Math.round(clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const degree = Math.min(width / 360, height / 150);
  return {
    width,
    height,
    at: ({ longitude, latitude }) => [width / 2 + longitude * degree, height / 2 - (latitude - 12) * degree],
  };
}

function dot(paper, x, y, radius, colour) {
  paper.fillStyle = colour;
  paper.beginPath();
  paper.arc(x, y, radius, 0, 2 * Math.PI);
  paper.fill();
}

addEventListener("resize", drawSoon);
document.querySelector("#filter").addEventListener("submit", (event) => {
  event.preventDefault();
  tell("");
  subscribe(new FormData(event.target).get("pattern"));
});
exchange.watchPresence("#", ({ members }) => {
  const watching = members.reduce((sum, { count }) => sum + count, 0);
  document.querySelector("#watchers").textContent = `${watching} watching`;
});
subscribe("airport.#");
