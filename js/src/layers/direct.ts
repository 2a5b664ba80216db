// The panel of direct. Twin: jtviz/views/layer_panels/direct.py.

import { h } from "../core/dom";
import type { Panel } from "./scene";

export const direct: Panel = () => h("div", { class: "panel-direct" });
