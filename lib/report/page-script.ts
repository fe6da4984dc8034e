/** Draws the charts of a report's page, in its browser. Redraws them when the reader changes between light and dark. */
export const pageScript = `
'use strict';
(() => {
  const specs = JSON.parse(document.getElementById('charts').textContent);
  const drawn = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  // The end of a dotted name says more than its beginning.
  const short = (label) => (label.length > 30 ? '…' + label.slice(-29) : label);

  Chart.defaults.font.family = 'system-ui, sans-serif';

  // 1, 2 and 5 in each decade: more labels would overlap.
  const logarithmicTick = (value) => {
    const [digit, exponent] = value.toExponential(3).split('e');
    if (![1, 2, 5].includes(Number(digit))) return null;
    return Math.abs(Number(exponent)) > 3 ? Number(digit) + 'e' + Number(exponent) : String(Number(value.toPrecision(3)));
  };

  const draw = (spec, index) => {
    const canvas = document.getElementById('chart-' + index);
    canvas.parentElement.style.height = 96 + spec.labels.length * (spec.series.length * 12 + 8) + 'px';
    const datasets = spec.series.map(({ label, values }, i) => ({
      label,
      data: values.map((value) => (Number.isFinite(value) ? value : null)),
      backgroundColor: colour('series-' + (i % 6 + 1)),
      maxBarThickness: 18,
      skipNull: true,
    }));
    const grid = { color: colour('line') };
    const ticks = { color: colour('quiet'), maxRotation: 0 };
    if (spec.scale === 'logarithmic') ticks.callback = logarithmicTick;
    const options = {
      indexAxis: 'y',
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: 'index', axis: 'y', intersect: false },
      scales: {
        x: { type: spec.scale, beginAtZero: true, grid, ticks, title: { display: true, text: spec.axis, color: colour('text') } },
        y: {
          grid: { display: false },
          ticks: { color: colour('text'), autoSkip: false, callback: (_, place) => short(spec.labels[place]) },
        },
      },
      plugins: {
        legend: { display: spec.series.length > 1, labels: { color: colour('text') } },
        tooltip: {
          callbacks: {
            title: ([item]) => spec.labels[item.dataIndex],
            label: ({ datasetIndex, dataIndex }) => spec.series[datasetIndex].label + ': ' + spec.series[datasetIndex].texts[dataIndex],
          },
        },
      },
    };
    return new Chart(canvas, { type: 'bar', data: { labels: spec.labels, datasets }, options });
  };

  const drawAll = () => {
    for (const chart of drawn.splice(0)) chart.destroy();
    drawn.push(...specs.map(draw));
  };
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
})();
`;
