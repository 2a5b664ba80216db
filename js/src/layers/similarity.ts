// The panel of similarity. Twin: jtviz/views/layer_panels/similarity.py.

import { h } from "../core/dom";
import type { Panel } from "./scene";

export const similarity: Panel = () => h("div", { class: "panel-similarity" });
