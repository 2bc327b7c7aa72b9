from sockwarden.agent.decode.decoder import Decoder

DECODER: Decoder
