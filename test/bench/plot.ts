/** Curves as SVG files, small and the same for the same numbers: `test/bench/curves/<name>.svg`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as echarts from "echarts";

const FOLDER = join(import.meta.dirname, "curves");
const WIDTH = 720;
const HEIGHT = 400;
const COLORS = ["#1f5fbf", "#d9541e", "#2a8f4f", "#8a4fbf", "#888888"];

export interface Axis {
  /** With its unit. */
  readonly name: string;
  readonly log?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** Between two labels. */
  readonly step?: number;
}

export interface Series {
  readonly name: string;
  /** Drawn against the axis on the right. */
  readonly right?: boolean;
  readonly dashed?: boolean;
  readonly points: readonly (readonly [number, number])[];
}

export interface Plot {
  readonly name: string;
  /** What the picture says. */
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly right?: Axis;
  readonly series: readonly Series[];
}

export function plot({ name, title, x, y, right, series }: Plot): void {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    color: COLORS,
    textStyle: { fontFamily: "sans-serif" },
    title: { text: title, left: 16, top: 10, textStyle: { fontSize: 15, fontWeight: "bold", color: "#222" } },
    legend:
      series.length > 1
        ? { top: 38, left: 12, icon: "roundRect", itemWidth: 18, itemHeight: 3, itemGap: 9 }
        : { show: false },
    grid: { left: 76, right: right === undefined ? 32 : 76, top: series.length > 1 ? 76 : 56, bottom: 56 },
    xAxis: { ...axisOption(fitted(x, series)), nameLocation: "middle", nameGap: 32 },
    yAxis: [y, ...(right === undefined ? [] : [right])].map((axis, i) => ({
      ...axisOption(axis),
      nameLocation: "middle",
      nameGap: 54,
      splitLine: { show: i === 0, lineStyle: { color: "#e6e6e6" } },
    })),
    series: series.map((one) => ({
      type: "line",
      name: one.name,
      yAxisIndex: one.right === true ? 1 : 0,
      symbol: "circle",
      symbolSize: 7,
      lineStyle: { width: 2, type: one.dashed === true ? "dashed" : "solid" },
      data: one.points.map(([px, py]) => [px, rounded(py)]),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `${name}.svg`), `${stable(svg)}\n`);
  console.log(`  test/bench/curves/${name}.svg`);
}

/** A logarithmic axis would begin at a power of ten. */
function fitted(axis: Axis, series: readonly Series[]): Axis {
  if (axis.log !== true) return axis;
  const xs = series.flatMap(({ points }) => points.map(([x]) => x));
  return { min: Math.min(...xs), max: Math.max(...xs), ...axis };
}

function axisOption({ name, log = false, min, max, step }: Axis): object {
  return {
    type: log ? "log" : "value",
    name,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(step === undefined ? {} : { interval: step }),
    nameTextStyle: { color: "#333", fontSize: 12 },
    axisLabel: { color: "#444", formatter: short },
    axisLine: { show: true, lineStyle: { color: "#888" } },
    splitLine: { lineStyle: { color: "#f0f0f0" } },
  };
}

/** 1k, 10k, 1M. */
export function short(value: number): string {
  const units: readonly [number, string][] = [
    [1_000_000, "M"],
    [1_000, "k"],
  ];
  for (const [size, unit] of units)
    if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  return String(Number(value.toPrecision(3)));
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/** The renderer numbers what it draws over the life of the process. */
function stable(svg: string): string {
  return svg.replace(/\bzr\d+-/g, "c-").replace(/(\d+\.\d)\d+/g, "$1");
}
