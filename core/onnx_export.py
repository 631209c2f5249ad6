"""Write a trained network as one ONNX file: python -m core.onnx_export --checkpoint FILE --out FILE.onnx [--int8]

See core/export/command.py.
"""
from core.export.command import main
from utils.errors import run_main

if __name__ == '__main__':
    run_main(main)
