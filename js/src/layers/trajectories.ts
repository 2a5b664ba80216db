// The panel of trajectories: the text, to find its tokens in the chart below (jtviz/views/paths.py).

import { h } from "../core/dom";
import type { Panel } from "./scene";
import { strip } from "./strip";

export const trajectories: Panel = (scene, abort) =>
  h(
    "div",
    { class: "panel-trajectories" },
    strip(scene, () => ({}), abort),
  );
