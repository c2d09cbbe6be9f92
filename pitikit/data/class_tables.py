"""Names and colours of the classes of known datasets, by label id from 0."""

from __future__ import annotations

from typing import NamedTuple


class ClassTable(NamedTuple):
    """Names, and RGB colours where the set has some of its own."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.replace("\n", " ").split(",") if each.strip())


def _hex(text: str) -> tuple[tuple[int, int, int], ...]:
    codes = bytes.fromhex("".join(text.split()))
    return tuple((codes[i], codes[i + 1], codes[i + 2]) for i in range(0, len(codes), 3))


def _named(text: str) -> ClassTable:
    """A table of entries such as 'Sky 808080', with commas between them."""
    pairs = [entry.rsplit(" ", 1) for entry in _words(text)]
    return ClassTable(tuple(name.strip() for name, _ in pairs), _hex("".join(code for _, code in pairs)))


ADE20K_150 = ClassTable(
    _words("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
    table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair,
    seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers,
    counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table,
    pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench,
    countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel,
    light, truck, tower, chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel,
    pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
    canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball,
    food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood,
    sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator,
    glass, clock, flag
    """),
    _hex("""
    787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff06528fff8cccff04ff3307
    cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0ffb8060aff47ff290a07ffffe0ff086608ff
    ff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe00099ff000000ffff4700
    00ebff00adff1f00ff0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff000052ff00ff2900ffad0a00ff
    adff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc200ff52000aff0070ff3300ff00c2ff
    007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ffff001f00b8ff00d6ffff00705cff0000e0ff
    70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ffff007afff5000abed4d6ff0000ccff1400ffffff00
    0099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cffb8ff000085ffffd60019c2c266ff005c00ff
    """),
)

# Ids 0 to 90 are things, 91 to 181 stuff: one less than in labels.txt, which begins with "unlabeled".
COCO_STUFF_182 = ClassTable(
    _words("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign, stop
    sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat, backpack,
    umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl,
    banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven,
    toaster, sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush,
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
    ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble,
    floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel,
    ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper,
    pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug,
    salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
    tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel, wall-stone,
    wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
    """)
)

COCO_STUFF_ABSENT = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90})
"""Ids of COCO-Stuff that never occur: of 182 there are 171."""

CAMVID_11 = _named("""
    Sky 808080, Building 800000, Pole c0c080, Road 804080, Pavement 3c28de, Tree 808000, SignSymbol c08080,
    Fence 404080, Car 400080, Pedestrian 404000, Bicyclist 0080c0
""")

# Of label_colors.txt, in its order.
CAMVID_32 = _named("""
    Animal 408040, Archway c00080, Bicyclist 0080c0, Bridge 008040, Building 800000, Car 400080,
    CartLuggagePram 4000c0, Child c08040, Column_Pole c0c080, Fence 404080, LaneMkgsDriv 8000c0, LaneMkgsNonDriv c00040,
    Misc_Text 808040, MotorcycleScooter c000c0, OtherMoving 804040, ParkingBlock 40c080, Pedestrian 404000, Road 804080,
    RoadShoulder 8080c0, Sidewalk 0000c0, SignSymbol c08080, Sky 808080, SUVPickupTruck 4080c0, TrafficCone 000040,
    TrafficLight 004040, Train c04080, Tree 808000, Truck_Bus c080c0, Tunnel 400040, VegetationMisc c0c000, Void 000000,
    Wall 40c000
""")

CITYSCAPES_19 = _named("""
    road 804080, sidewalk f423e8, building 464646, wall 66669c, fence be9999, pole 999999, traffic light faaa1e,
    traffic sign dcdc00, vegetation 6b8e23, terrain 98fb98, sky 4682b4, person dc143c, rider ff0000, car 00008e,
    truck 000046, bus 003c64, train 005064, motorcycle 0000e6, bicycle 770b20
""")

CMP_FACADES_12 = _named("""
    background 0000aa, facade 0000ff, window 0055ff, door 00aaff, cornice 00ffff, sill 55ffaa, balcony aaff55,
    blind ffff00, deco ffaa00, molding ff5500, pillar ff0000, shop aa0000
""")

NYU_40 = ClassTable(
    _words("""
    wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, shelves,
    curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refrigerator, television, paper, towel,
    shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, bathtub, bag, otherstructure,
    otherfurniture, otherprop
    """)
)

TABLES: dict[str, ClassTable] = {
    "ade20k": ADE20K_150,
    "camvid11": CAMVID_11,
    "camvid32": CAMVID_32,
    "cityscapes19": CITYSCAPES_19,
    "cocostuff": COCO_STUFF_182,
    "facades": CMP_FACADES_12,
    "nyu40": NYU_40,
}
"""Tables by name."""
