"""Score a checkpoint on COCO's keypoints: python eval_coco.py --checkpoint FILE [flags] [--misc KEY VALUE ...]"""
from utils.errors import run_main


def main():
    from core.evaluation.coco_evaluator import run_coco
    from core.evaluation.options import parse_coco_options
    run_coco(*parse_coco_options())
    return 0


if __name__ == '__main__':
    run_main(main)
