# Numbers of the paper (PITI, tables 1 to 3) and of later papers, which tools/report.py sets beside a test of the same
# benchmark. Theirs are FID of CLIP features but where a row names Inception; each states how it was measured.
_clip = "the paper's own measurement: FID of CLIP features, validation set"
_later = "as later papers give it: Inception, each paper's own segmenter"


def _rows(configs, dataset, **values):
    names = dict(pix2pixhd="Pix2PixHD", spade="SPADE", oasis="OASIS", scratch="from scratch, paper", piti="PITI, paper")
    return [
        dict(configs=configs, dataset=dataset, method=names[key], metrics={"FID_CLIP": value}, protocol=_clip)
        for key, value in values.items()
    ]


paper = [
    *_rows("*ade20k*", "ADE20K", pix2pixhd=35.3, spade=18.9, oasis=14.8, scratch=16.3, piti=8.9),
    *_rows("*mask*coco*", "COCO-Stuff, masks", pix2pixhd=37.5, spade=15.0, oasis=8.8, scratch=13.0, piti=5.2),
    *_rows("*mask*flickr*", "Flickr-Landscapes, masks", pix2pixhd=26.1, spade=17.4, oasis=10.5, scratch=10.6, piti=6.1),
    *_rows("*sketch*coco*", "COCO-Stuff, sketches", pix2pixhd=27.1, spade=48.9, scratch=13.0, piti=8.8),
    *_rows("*sketch*flickr*", "Flickr-Landscapes, sketches", pix2pixhd=16.8, spade=29.5, scratch=9.4, piti=6.0),
    *_rows("*diode*", "DIODE", pix2pixhd=18.2, spade=17.0, scratch=13.9, piti=11.5),
    *[
        dict(configs="*ade20k*", dataset="ADE20K", method=method, metrics={"FID_CLIP": value}, protocol=_clip)
        for method, value in {
            "fixed decoder, paper": 12.6,
            "one stage, paper": 13.3,
            "PITI on 25 % of the pairs, paper": 16.2,
            "PITI on 50 % of the pairs, paper": 12.7,
            "from scratch on 25 % of the pairs, paper": 24.0,
            "from scratch on 50 % of the pairs, paper": 18.8,
            "OASIS on 25 % of the pairs, paper": 26.5,
            "OASIS on 50 % of the pairs, paper": 20.4,
            "SPADE on 25 % of the pairs, paper": 27.1,
            "SPADE on 50 % of the pairs, paper": 24.6,
            "Pix2PixHD on 25 % of the pairs, paper": 44.1,
            "Pix2PixHD on 50 % of the pairs, paper": 38.4,
            "upsampler plain, paper": 14.5,
            "upsampler + degradation, paper": 12.1,
            "upsampler + perceptual, paper": 9.8,
        }.items()
    ],
    *[
        dict(configs=configs, dataset=dataset, method=method, metrics=metrics, protocol=_later)
        for configs, dataset, method, metrics in [
            ("*ade20k*", "ADE20K", "PITI, later papers", {"FID": 27.9, "mIoU": 0.294}),
            ("*ade20k*", "ADE20K", "FreestyleNet", {"FID": 25.0, "mIoU": 0.419}),
            ("*ade20k*", "ADE20K", "OASIS, later papers", {"FID": 28.3, "mIoU": 0.488}),
            ("*ade20k*", "ADE20K", "PLACE", {"FID": 22.3, "mIoU": 0.507}),
            ("*ade20k*", "ADE20K", "DP-SIMS", {"FID": 22.7, "mIoU": 0.543}),
            ("*ade20k*", "ADE20K", "ControlNet", {"mIoU": 0.326}),
            ("*ade20k*", "ADE20K", "ControlNet++", {"mIoU": 0.436}),
            ("*mask*coco*", "COCO-Stuff, masks", "PITI, later papers", {"FID": 16.1, "mIoU": 0.341}),
            ("*mask*coco*", "COCO-Stuff, masks", "FreestyleNet", {"FID": 14.4, "mIoU": 0.407}),
            ("*mask*coco*", "COCO-Stuff, masks", "OASIS, later papers", {"FID": 17.0, "mIoU": 0.441}),
            ("*mask*coco*", "COCO-Stuff, masks", "PLACE", {"FID": 14.0, "mIoU": 0.426}),
        ]
    ],
]
