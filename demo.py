"""Bodies in pictures and videos: python demo.py [--checkpoint FILE] --img FILE | --vid_file FILE | ... [flags]"""
from utils.errors import run_main


def main():
    from core.demo.options import parse_options
    from core.demo.run import run_demo
    run_demo(*parse_options())
    return 0


if __name__ == '__main__':
    run_main(main)
