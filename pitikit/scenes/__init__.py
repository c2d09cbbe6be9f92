"""SceneWorld: the embedded synthetic dataset, an item from a seed and an index, registered as a plugin would be.

| label | class | label | class | label | class | label | class |
|---|---|---|---|---|---|---|---|
| 0 | sky | 6 | grass | 12 | roof | 18 | person |
| 1 | cloud | 7 | sand | 13 | window | 19 | lamp |
| 2 | sun (or moon) | 8 | field | 14 | door | 20 | fence |
| 3 | mountain | 9 | snow | 15 | crown (of a tree, a bush) | 21 | boat |
| 4 | hill | 10 | road | 16 | trunk | | |
| 5 | water | 11 | wall | 17 | car | | |

Depth is metres along the viewing axis, 1000 in the sky. Normals are in the camera frame: x right,
y up, z towards the camera; the sky's is (0, 0, 1).
"""

from pitikit.scenes.canvas import FAR
from pitikit.scenes.dataset import MEMBERS, SceneWorld
from pitikit.scenes.layout import COLOURED_VOCABULARY, LAYOUT_SIDE, LAYOUT_VOCABULARY, scene_layout
from pitikit.scenes.looks import CLASSES
from pitikit.scenes.render import Scene, render_scene, render_spec
from pitikit.scenes.spec import MAX_WORDS, VOCABULARY, SceneSpec, scene_caption
from pitikit.scenes.wording import LoadDescription, compose_scene
from pitikit.scenes.world import sample_scene

__all__ = [
    "CLASSES",
    "COLOURED_VOCABULARY",
    "FAR",
    "LAYOUT_SIDE",
    "LAYOUT_VOCABULARY",
    "LoadDescription",
    "MAX_WORDS",
    "MEMBERS",
    "Scene",
    "SceneSpec",
    "SceneWorld",
    "VOCABULARY",
    "compose_scene",
    "render_scene",
    "render_spec",
    "sample_scene",
    "scene_caption",
    "scene_layout",
]
